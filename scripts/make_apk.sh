#!/usr/bin/env bash
# Build android_app/build/mobilevlm.apk without an Android SDK, sign it with this machine's debug key, and check it.
# Unchanged outputs aren't built again.
# usage: scripts/make_apk.sh PYTHON [BUNDLE.mvlm.zip]   (a bundle to pack into the app)
# The same sources and bundle give the same bytes in android_app/build/unsigned.apk in every clone, and with one key the same APK.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/apt_packages.sh "the APK" java:default-jdk-headless mvn:maven npm:npm aapt2:aapt apksigner:apksigner dexdump:dexdump zipalign:zipalign || exit $(($? == 75 ? 0 : 1))
. scripts/android_build.sh

python=$1 bundle=${2:-}
app_classes
java_home=$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")") # java.lang, which is missing from the framework jar

dex() { # dex OUT MODE CLASSES... [--lib and --classpath options]
  local out=$1 && shift
  mkdir -p "$out"
  java -Xmx1500m -XX:+UseSerialGC -cp "$r8" com.android.tools.r8.D8 --min-api $min_api --lib "$android" --lib "$java_home" --output "$out" "$@"
}
dex_app() {
  local classes=()
  mapfile -t classes < <(find $build/core $build/apk/app $build/apk/resources/classes -name '*.class' | LC_ALL=C sort)
  dex "$build/$1" --release "${classes[@]}" $(printf -- '--classpath %s ' "${libraries[@]}")
}
native_libraries() {
  local abi
  for abi in arm64-v8a x86_64; do
    mkdir -p "$build/$1/$abi"
    cp "$engine/$abi/libexecutorch.so" "$build/$1/$abi/"
    (cd "$build/$1" && jar xf "${fbjni%.jar}" jni/$abi/libfbjni.so jni/$abi/libc++_shared.so && mv jni/$abi/* $abi/)
  done
  rm -r "${build:?}/$1/jni"
}
debug_key() {
  local said # keytool echoes its command line; show it only on failure
  said=$(keytool -genkeypair -keystore "$1" -storetype PKCS12 -storepass android -alias debug -keyalg RSA -keysize 2048 -validity 10000 -dname CN=debug 2>&1) ||
    { echo "$said" >&2 && return 1; }
}
package() {
  local files=() file
  files+=(classes.dex=$build/apk/dex-app/classes.dex classes2.dex=$build/apk/dex-libraries/classes.dex)
  for file in $build/apk/lib/*/*.so; do files+=("lib/${file#"$build"/apk/lib/}=$file"); done
  [ -z "$bundle" ] || files+=("assets/packed.mvlm.zip=$bundle")
  "$python" -m mobilevlm_host.android.apk.pack_bundle "$build/$1" $build/apk/resources/resources.apk "${files[@]}"
}
sign() {
  apksigner sign --ks "$key" --ks-pass pass:android --min-sdk-version $min_api --out "$build/$1" $build/unsigned.apk
  rm -f "$build/$1.idsig"
}
verified() {
  apksigner verify --min-sdk-version $min_api $build/mobilevlm.apk
  zipalign -c 4 $build/mobilevlm.apk >/dev/null
  "$python" -m mobilevlm_host.android.apk $build/mobilevlm.apk ${bundle:+"$bundle"}
  aapt2 dump badging $build/mobilevlm.apk | grep -E '^(package|sdkVersion|targetSdkVersion|uses-permission|launchable-activity|native-code)'
}

keyed apk/dex-libraries "$0" android_app/*.lock -- dex $build/apk/dex-libraries --release "${libraries[@]}"
keyed apk/dex-app "$0" "${sources[@]}" $build/apk/resources.key android_app/*.lock -- dex_app apk/dex-app
keyed apk/lib android_app/engine.lock android_app/apk.lock -- native_libraries apk/lib

key=${XDG_CACHE_HOME:-$HOME/.cache}/mobilevlm-kit/android/debug.p12
[ -f "$key" ] || debug_key "$key"
keyed unsigned.apk $build/apk/*.key $build/apk/resources/resources.apk python_host/mobilevlm_host/android/apk/*.py ${bundle:+"$bundle"} "$0" -- package unsigned.apk
keyed mobilevlm.apk $build/unsigned.apk "$key" "$0" -- sign mobilevlm.apk
keyed verified $build/mobilevlm.apk.key -- verified
echo "$build/mobilevlm.apk: $(($(stat -c %s $build/mobilevlm.apk) / 1000000)) MB${bundle:+, with $(basename "$bundle")}"
