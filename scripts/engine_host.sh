#!/usr/bin/env bash
# Build a host that runs Android's own, unmodified engine in a desktop JVM, and print its command, one word per line; append the rest of
# the class path, a class and arguments. Unchanged outputs aren't built again.
# usage: scripts/engine_host.sh ABI [ENGINE.aar]   (ABI: x86_64; or arm64-v8a, emulated)   Exit codes: as apt_packages.sh
set -euo pipefail
cd "$(dirname "$0")/.."
abi=$1 aar=${2:-}
case $abi in
  x86_64) tools=(gcc:gcc nm:binutils) cc=gcc nm=nm libraries_of_abi=(-lquadmath -ldl) ;;
  arm64-v8a) tools=(qemu-aarch64-static:qemu-user-static aarch64-linux-gnu-g++:g++-aarch64-linux-gnu) cc=aarch64-linux-gnu-gcc nm=aarch64-linux-gnu-nm libraries_of_abi=(-ldl) ;;
  *) echo "got the ABI $abi, expected x86_64 or arm64-v8a" >&2 && exit 1 ;;
esac
scripts/apt_packages.sh "Android's engine on a desktop ($abi)" java:default-jdk-headless mvn:maven npm:npm "${tools[@]}" || exit $?
. scripts/android_build.sh
core_classes
engine_parts "$aar"

host=android_app/engine_host made=engine_host/$(sha256sum <<<"$engine" | cut -c-8)
sources=$app/kotlin/org/mobilevlmkit/app
keyed "$made/classes" $build/core.key $sources/ExecuTorch*.kt $(files $host/src/main '*.kt') android_app/*.lock -- \
  kotlinc "$compiler" "$build/$made/classes" -module-name engine-host -cp "$build/core:$(IFS=:; echo "${libraries[*]}")" $sources/ExecuTorch*.kt $host/src/main/kotlin

# native NAME: the engine with its own libraries (NAME/engine) and the replacement for Android's C library (NAME/libc).
native() {
  local to=$build/$1
  mkdir -p "$to/engine" "$to/libc"
  cp "$engine/$abi/"*.so "$to/engine/"
  (cd "$to" && jar xf "${fbjni%.jar}" jni/$abi/libfbjni.so jni/$abi/libc++_shared.so && mv jni/$abi/*.so engine/ && rm -r jni)
  # The system symbols that the libraries import, as name@VERSION; Android's log has no version.
  $nm -D --defined-only "$to"/engine/*.so | awk 'NF == 3 { print $3 }' | LC_ALL=C sort -u >"$to/own"
  $nm -D --undefined-only --with-symbol-versions "$to"/engine/*.so | awk '$1 == "U" { print $2 }' | LC_ALL=C sort -u | LC_ALL=C comm -23 - "$to/own" >"$to/imports"
  sed 's/@.*//' "$to/imports" | LC_ALL=C sort -u >"$to/imported"
  LC_ALL=C comm -12 "$to/imported" <(awk -v abi="$abi" '!/^#/ && ($2 == "" || $2 == abi) { print $1 }' $host/libc/same.txt | LC_ALL=C sort -u) | sed 's/.*/FORWARD(&)/' >"$to/forward.inc"
  $cc -O1 -fno-builtin -fno-stack-protector -fPIC -Wall -Wextra -Werror -I"$to" -c $host/libc/bionic.c -o "$to/bionic.o"
  local missing
  missing=$(LC_ALL=C comm -23 "$to/imported" <($nm --defined-only "$to/bionic.o" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort -u))
  [ -z "$missing" ] || { echo "$engine: got the imports $(xargs <<<"$missing"), expected those in $host/libc/same.txt or bionic.c" >&2 && return 1; }
  # Nothing else is visible. Android's later symbol versions follow its first, LIBC.
  awk -F@ '{ v = $2 == "" ? "LIBC" : $2; of[v] = of[v] " " $1 ";" }
    END { print "LIBC { global:" of["LIBC"] " local: *; };"; for (v in of) if (v != "LIBC") print v " { global:" of[v] " } LIBC;" }' "$to/imports" >"$to/versions"
  $cc -shared -Wl,-soname,libc.so -Wl,--version-script="$to/versions" "$to/bionic.o" "${libraries_of_abi[@]}" -o "$to/libc/libc.so"
  local empty
  for empty in m dl log android; do $cc -shared -nostdlib -Wl,-soname,lib$empty.so -xc /dev/null -o "$to/libc/lib$empty.so"; done
  $cc -O1 -fPIC -shared -Wall -Wextra -Werror -I"$java_home/include" -I"$java_home/include/linux" $host/libc/open_engine.c -ldl -o "$to/libc/libopen_engine.so"
}
java_home=$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")
keyed "$made/$abi" $host/libc/* "$0" android_app/*.lock "$engine/$abi/libexecutorch.so" -- native "$made/$abi"

# arm64_java: an ARM build of Java in a folder that QEMU presents as the root. Sets root, and launcher, which starts it.
arm64_java() {
  root=${XDG_CACHE_HOME:-$HOME/.cache}/mobilevlm-kit/android/arm64-java
  scripts/debian_root.sh "Android's engine on an emulated ARM CPU" "$root" bookworm openjdk-17-jre-headless \
    --variant=extract --architectures=arm64 --skip=check/qemu || exit $?
  local java=$root/usr/lib/jvm/java-17-openjdk-arm64
  launcher=$java/bin/java-beside-android
  [ "$launcher" -nt $host/libc/java.c ] || $cc -O1 -Wall -Wextra -Werror -I"$java_home/include" -I"$java_home/include/linux" $host/libc/java.c \
    -L"$java/lib" -ljli -Wl,--unresolved-symbols=ignore-in-shared-libs -Wl,-rpath,'$ORIGIN/../lib' -o "$launcher"
}

here=$PWD/$build/$made/$abi
command=(env "ENGINE_HOST_LIBC=$here/libc" "LD_LIBRARY_PATH=$here/engine")
options=("-Djava.library.path=$here/engine" "-Dengine.host=$here/libc/libopen_engine.so" -Djava.awt.headless=true -XX:+UseSerialGC -XX:+DisplayVMOutputToStderr -Xms256m -Xmx256m "-XX:ErrorFile=$here/crash.log")
if [ "$abi" = arm64-v8a ]; then
  arm64_java
  command+=("ENGINE_HOST_CPUINFO=$PWD/$host/libc/cortex-a76.cpuinfo" qemu-aarch64-static -cpu cortex-a76 -L "$root" "$launcher" -Xint)
else
  command+=(java)
fi
class_path=$PWD/$build/$made/classes:$PWD/$build/core:$(IFS=:; echo "${libraries[*]}"):$compiler
printf '%s\n' "${command[@]}" "${options[@]}" -cp "$class_path"
