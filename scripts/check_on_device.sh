#!/usr/bin/env bash
# Run "Check this phone" with the demo model on the connected device or emulator, in the app as Gradle builds it, with the stock engine.
# usage: scripts/check_on_device.sh DEMO.mvlm.zip   (needs Google's SDK)   Exit codes: 0 it matches the desktop, 1 it doesn't
set -euo pipefail
demo=$(realpath "$1")
cd "$(dirname "$0")/../android_app"
mkdir -p app/src/androidTest/assets
cp "$demo" app/src/androidTest/assets/demo.mvlm.zip # git ignores it
./gradlew assembleDebug assembleDebugAndroidTest
adb install -r app/build/outputs/apk/debug/app-debug.apk
adb install -r app/build/outputs/apk/androidTest/debug/app-debug-androidTest.apk
# am's exit code is 0 whatever happened; -1 is Activity.RESULT_OK.
adb shell am instrument -w org.mobilevlmkit.app.test/org.mobilevlmkit.app.DeviceCheck | tee app/build/check.txt
grep -q "^INSTRUMENTATION_CODE: -1" app/build/check.txt
