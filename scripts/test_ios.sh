#!/usr/bin/env bash
# Test the Swift package of the iOS app: warnings are errors, and coverage is printed.
# usage: scripts/test_ios.sh [PYTHON]   (PYTHON, with the kit, makes the reference data and runs the Core ML programs)
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3} build=ios_app/.build
scripts/swift.sh true || exit $(($? == 75 ? 0 : 1))

mkdir -p $build
"$python" tests/golden/random_texts.py --count 10000 >$build/random_texts.json
cd ios_app
../scripts/lint_swift.sh
# Swift may run in its own root, so the engine of the end-to-end tests serves from outside while they run.
"$python" ../tests/ios_seam.py .build/seam ../scripts/swift.sh swift test --parallel --enable-code-coverage -Xswiftc -warnings-as-errors
../scripts/swift.sh ../scripts/check_ios_views.sh
"$python" - .build/debug/codecov/MobileVLM.json <<'PYTHON'
import json, sys
files = json.load(open(sys.argv[1]))["data"][0]["files"]
# The core, and the Core ML engine.
core = {file["filename"].split("/Sources/")[1]: file["summary"]["lines"] for file in files if "/Sources/MobileVLMCore" in file["filename"]}
for name, lines in sorted(core.items()):
    print(f"{lines['percent']:6.1f} %  {name}")
covered, count = (sum(lines[key] for lines in core.values()) for key in ("covered", "count"))
print(f"{100 * covered / count:6.1f} %  of the {count} lines of core and engine, expected at least 90")
sys.exit(covered < 0.9 * count)
PYTHON
