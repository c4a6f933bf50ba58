# shellcheck shell=bash
# Shared functions of the Android builds; sourced by scripts that run at the repository's root.
build=android_app/build
mkdir -p $build

# files FOLDER PATTERN: all files below FOLDER whose names match, in a fixed order.
files() { find "$1" -type f -name "$2" | LC_ALL=C sort; }

# keyed NAME FILE... -- COMMAND...: run COMMAND, which makes build/NAME, unless the FILEs and COMMAND are unchanged.
# Of scripts that run at once, as the Python tests on two cores do, one makes it and the others wait (where flock is installed).
keyed() {
  local name=$1 inputs=() digest lock
  shift
  while [ "$1" != -- ]; do inputs+=("$1") && shift; done
  shift
  digest=$({ echo "$@" && [ ${#inputs[@]} = 0 ] || sha256sum "${inputs[@]}"; } | sha256sum)
  exec {lock}>"$build/.lock"
  if command -v flock >/dev/null; then flock "$lock"; fi
  if [ "$(cat "$build/$name.key" 2>/dev/null)" != "$digest" ]; then
    echo "making $build/$name" >&2
    rm -rf "${build:?}/$name" "$build/$name.key"
    mkdir -p "$(dirname "$build/$name")"
    "$@"
    echo "$digest" >"$build/$name.key"
  fi
  exec {lock}>&-
}

# kotlinc COMPILER_CLASS_PATH OUT OPTIONS_AND_SOURCES...
# D8 reads JDK 8's class files everywhere; Android's own nullability annotations are ignored.
kotlinc() {
  local compiler=$1 out=$2
  shift 2
  java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$compiler" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler \
    -d "$out" -no-stdlib -no-reflect -jvm-target 1.8 -Werror "$@"
}

app=android_app/app/src/main core=android_app/core/src
min_api=26 target_api=35

# core_classes: the classes of core (build/core), used by both the JVM tests and the APK; JDK 8's API is available on Android since
# API 26. Sets compiler (with everything that core's tests need), stdlib and coroutines.
core_classes() {
  compiler=$(scripts/maven_jars.sh android_app/jars.lock)
  stdlib=$(tr : '\n' <<<"$compiler" | grep '/kotlin-stdlib-')
  coroutines=$(tr : '\n' <<<"$compiler" | grep '/kotlinx-coroutines-core-jvm-')
  keyed core $(files $core/main '*.kt') android_app/jars.lock -- \
    kotlinc "$compiler" $build/core -module-name core -Xjdk-release=8 -cp "$stdlib" $core/main/kotlin
}

# core_tests: the classes of core's tests (build/core-test), whose fakes the app's tests use too.
core_tests() {
  keyed core-test $(files $core/test '*.kt') $build/core.key android_app/jars.lock -- \
    kotlinc "$compiler" $build/core-test -module-name core-test -Xjdk-release=8 -Xfriend-paths=$build/core -cp "$build/core:$compiler" $core/test/kotlin
}

# engine_parts [ENGINE.aar]: ExecuTorch's engine, the locked one or an Android library's, with its dependencies.
# Sets android, r8, fbjni, linked (whose resources aapt2 can read), engine (a folder with classes.jar and ABI/libexecutorch.so) and libraries.
engine_parts() {
  local nativeloader
  IFS=: read -r android r8 fbjni nativeloader linked <<<"$(scripts/maven_jars.sh android_app/apk.lock)"
  if [ -n "${1:-}" ]; then engine=$(scripts/aar_engine.sh "$1"); else engine=$(scripts/npm_engine.sh android_app/engine.lock); fi
  libraries=("$stdlib" "$coroutines" "$engine/classes.jar" "$fbjni" "$nativeloader")
}

# app_classes: the app's resources (build/apk/resources) and classes (build/apk/app), and those of core.
# Sets the variables of engine_parts, and sources.
app_classes() {
  local version resources_in
  version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' export/mobilevlm_export/__init__.py)
  core_classes
  engine_parts
  mapfile -t resources_in < <(files $app/res '*' && files $app/assets '*' && echo $app/AndroidManifest.xml)
  mapfile -t sources < <(files $core/main '*.kt' && files $app/kotlin '*.kt')
  keyed apk/resources "${resources_in[@]}" android_app/apk.lock scripts/android_build.sh -- link_resources apk/resources "$version"
  keyed apk/app "${sources[@]}" $build/apk/resources.key android_app/*.lock -- \
    kotlinc "$compiler" $build/apk/app -module-name app -Xnullability-annotations=@android.annotation:ignore \
    -cp "$build/core:$build/apk/resources/classes:$(IFS=:; echo "${libraries[*]}"):$android" $app/kotlin
}

# link_resources NAME VERSION: build/NAME/resources.apk and the class R. Debian's aapt2 warns about <queries>, which phones support.
link_resources() {
  aapt2 compile --dir $app/res -o "$build/$1.flat.zip"
  mkdir -p "$build/$1"
  # Gradle forbids the package attribute, aapt2 requires it.
  sed 's|<manifest |<manifest package="org.mobilevlmkit.app" |' $app/AndroidManifest.xml >"$build/$1/AndroidManifest.xml"
  aapt2 link -I "$linked" --manifest "$build/$1/AndroidManifest.xml" -A $app/assets --java "$build/$1" -o "$build/$1/resources.apk" \
    --auto-add-overlay --warn-manifest-validation --min-sdk-version $min_api --target-sdk-version $target_api \
    --version-name "$2" --version-code 1 "$build/$1.flat.zip" 2>"$build/aapt2.log" || { cat "$build/aapt2.log" >&2 && return 1; }
  rm "$build/$1.flat.zip"
  javac -nowarn -Xlint:-options --release 8 -d "$build/$1/classes" "$build/$1/org/mobilevlmkit/app/R.java"
}
