#!/usr/bin/env bash
# Compile android_app/core with its tests and run them on the JVM. Unchanged sources aren't compiled again.
# usage: scripts/test_android.sh [TEST_CLASS...]   (all tests unless some are named, such as ManifestReaderTest)
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/apt_packages.sh "the Android tests" java:default-jdk-headless mvn:maven || exit $(($? == 75 ? 0 : 1))
. scripts/android_build.sh
core_classes
core_tests

tests=
if [ $# = 0 ]; then set -- '*Test'; fi
for name in "$@"; do
  found=$(files $core/test "$name.kt")
  [ -n "$found" ] || { echo "got no test class $name in $core/test, expected one such as ManifestReaderTest" >&2 && exit 1; }
  tests+=$found$'\n'
done
classes=$(sed -e "s|^$core/test/kotlin/||" -e 's|\.kt$||' -e 's|/|.|g' <<<"${tests%$'\n'}")
# shellcheck disable=SC2086 # one word a class
exec java -Xmx512m -Djava.awt.headless=true -Dgolden="$PWD/tests/golden" -Dbuild="$PWD/$build" \
  -cp "$build/core-test:$build/core:$compiler" org.junit.runner.JUnitCore $classes
