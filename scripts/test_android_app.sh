#!/usr/bin/env bash
# Compile android_app/app with its tests and run the real activity on the JVM (Robolectric, native graphics).
# usage: scripts/test_android_app.sh [TEST_CLASS...]   (all tests unless some are named)
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/apt_packages.sh "the tests of the Android app" java:default-jdk-headless mvn:maven npm:npm aapt2:aapt || exit $(($? == 75 ? 0 : 1))
. scripts/android_build.sh
app_classes
core_tests
tests=android_app/app/src/test/kotlin
robolectric=$(scripts/maven_jars.sh android_app/robolectric.lock)
jars=$(cut -d: -f2- <<<"$robolectric") # the first is the system image, which Robolectric loads itself
ours=$build/core:$build/core-test:$build/apk/app:$build/apk/resources/classes
path=$ours:$(IFS=:; echo "${libraries[*]}"):$jars:$compiler

# signatures NAME: the app's engine compiled against the stock API, whose methods return nothing where the older ones return numbers.
signatures() {
  kotlinc "$compiler" "$build/$1" -module-name signatures -Xnullability-annotations=@android.annotation:ignore \
    -cp "$build/core:$stdlib:$android" android_app/app/src/signatures/kotlin $app/kotlin/org/mobilevlmkit/app/ExecuTorchEngine.kt \
    $app/kotlin/org/mobilevlmkit/app/ExecuTorchMethods.kt
}
keyed apk/signatures $build/core.key $(files android_app/app/src/signatures '*.kt') $app/kotlin/org/mobilevlmkit/app/ExecuTorch*.kt -- signatures apk/signatures
# The instrumented test, which only a device can run.
keyed apk/device-check $(files android_app/app/src/androidTest '*.kt') $build/apk/app.key android_app/*.lock -- \
  kotlinc "$compiler" $build/apk/device-check -module-name device-check -Xnullability-annotations=@android.annotation:ignore \
  -cp "$ours:$(IFS=:; echo "${libraries[*]}"):$android" android_app/app/src/androidTest/kotlin
keyed apk/test $(files $tests '*.kt') $build/apk/app.key $build/core-test.key android_app/*.lock -- \
  kotlinc "$compiler" $build/apk/test -module-name app-test -Xnullability-annotations=@android.annotation:ignore -Xfriend-paths=$build/apk/app \
  -cp "$path:$android" $tests
mkdir -p $build/apk/config/com/android/tools
cat >$build/apk/config/com/android/tools/test_config.properties <<CONFIG
android_merged_manifest=$PWD/$build/apk/resources/AndroidManifest.xml
android_resource_apk=$PWD/$build/apk/resources/resources.apk
android_merged_assets=$PWD/$app/assets
android_custom_package=org.mobilevlmkit.app
CONFIG

if [ $# = 0 ]; then set -- $(cd $tests && find . -name '*Test.kt' | LC_ALL=C sort); fi
classes=$(printf '%s\n' "$@" | sed -e 's|^\./||' -e 's|\.kt$||' -e 's|/|.|g' -e 's|^\([^.]*\)$|org.mobilevlmkit.app.\1|')
# shellcheck disable=SC2086 # one word a class
exec java -Xmx2g -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=200m --add-opens java.base/java.io=ALL-UNNAMED -Drobolectric.offline=true -Drobolectric.dependency.dir="$(dirname "${robolectric%%:*}")" \
  -Dgolden="$PWD/tests/golden" -Dscreenshots="$PWD/$build/screenshots" \
  -cp "$build/apk/test:$build/apk/config:$path:$android" org.junit.runner.JUnitCore $classes
