#!/usr/bin/env bash
# Compile android_app/core with its tests and run them on the JVM. What has not changed is not compiled again.
# usage: scripts/test_android.sh [TEST_CLASS...]   (all tests unless some are named, such as ManifestTest)
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/apt_packages.sh "the Android tests" java:default-jdk-headless mvn:maven || exit $(($? == 75 ? 0 : 1))

core=android_app/core build=android_app/build lock=android_app/jars.lock
class_path=$(scripts/maven_jars.sh $lock)
sources() { find "$core/src/$1" -name '*.kt' | LC_ALL=C sort; }

# compile NAME OPTIONS...: the Kotlin of src/NAME into build/NAME, unless it and all before it are as they were.
compile() {
  local name=$1 out=$build/$1 key
  shift
  key=$({ sources main; [ "$name" = main ] || sources test; } | xargs sha256sum "$lock" "$0" | sha256sum)
  if [ "$(cat "$out.key" 2>/dev/null)" != "$key" ]; then
    echo "compiling $core/src/$name" >&2
    rm -rf "$out" "$out.key"
    # JDK 8's API is what Android has had since API 26; a class of a newer JDK doesn't compile.
    sources "$name" | xargs java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$class_path" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler \
      -d "$out" -no-stdlib -no-reflect -jvm-target 1.8 -Xjdk-release=8 -Werror "$@"
    echo "$key" >"$out.key"
  fi
}

mkdir -p "$build"
compile main -module-name core -cp "$class_path"
compile test -module-name core-test -Xfriend-paths="$build/main" -cp "$build/main:$class_path"

if [ $# -gt 0 ]; then
  tests=$(for name in "$@"; do sources test | grep "/$name.kt$"; done)
else
  tests=$(sources test | grep 'Test\.kt$')
fi
classes=$(sed -e "s|^$core/src/test/kotlin/||" -e 's|\.kt$||' -e 's|/|.|g' <<<"$tests")
# shellcheck disable=SC2086 # one word a class
exec java -Xmx512m -Djava.awt.headless=true -Dgolden="$PWD/tests/golden" -Dbuild="$PWD/$build" \
  -cp "$build/test:$build/main:$class_path" org.junit.runner.JUnitCore $classes
