#!/usr/bin/env bash
# Check the format of the Swift code with swift-format, where Swift is set up: installed, or by scripts/test_ios.sh before. Sets nothing up.
# usage: scripts/lint_swift.sh [--fix]   (--fix: format it)   Exit codes: 0 clean or skipped, 1 findings
set -euo pipefail
cd "$(dirname "$0")/../ios_app"
root=${XDG_CACHE_HOME:-$HOME/.cache}/mobilevlm-kit/swift
if ! command -v swift >/dev/null && [ ! -f "$root/.packages" ]; then
  echo "skipped swift-format: Swift isn't set up; make test-ios sets it up" >&2
  exit 0
fi
command=(lint --strict)
[ "${1:-}" != --fix ] || command=(format --in-place)
exec ../scripts/swift.sh swift format "${command[@]}" --recursive Package.swift Sources Fakes Tests App
