#!/usr/bin/env bash
# Run the tests of the iOS app's concurrent code under the thread sanitizer, which needs a build of its own.
# usage: scripts/test_ios_races.sh
set -euo pipefail
cd "$(dirname "$0")/../ios_app"
../scripts/swift.sh true || exit $(($? == 75 ? 0 : 1))
exec ../scripts/swift.sh swift test --sanitize=thread --scratch-path .build/thread -Xswiftc -warnings-as-errors \
  --filter 'VLMSessionTests|CoreMLEngineTests|MobileVLMAppTests'
