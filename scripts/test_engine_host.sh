#!/usr/bin/env bash
# Run test classes of android_app/engine_host: the app's own code drives Android's own engine, with the folder in SEAM.
# usage: scripts/test_engine_host.sh ABI TEST_CLASS...   (ENGINE=some.aar: another engine instead of the locked one)
set -euo pipefail
cd "$(dirname "$0")/.."
abi=$1
shift
host=$(scripts/engine_host.sh "$abi" ${ENGINE:+"$ENGINE"}) || exit $?
mapfile -t command <<<"$host"
. scripts/android_build.sh
core_classes
core_tests
tests=android_app/engine_host/src/test/kotlin
class_path=${command[-1]}
made=${class_path%%/classes:*}
keyed "${made#"$PWD/$build/"}/test" $(files $tests '*.kt') "$made/classes.key" $build/core-test.key -- \
  kotlinc "$compiler" "$made/test" -module-name engine-host-test -Xfriend-paths="$PWD/$build/core" -cp "$build/core-test:$class_path" $tests
classes=$(printf 'org.mobilevlmkit.enginehost.%s\n' "$@")
# shellcheck disable=SC2086 # one word a class
exec "${command[@]:0:${#command[@]}-1}" "$made/test:$PWD/$build/core-test:$class_path" org.junit.runner.JUnitCore $classes
