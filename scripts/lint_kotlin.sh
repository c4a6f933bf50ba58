#!/usr/bin/env bash
# Check the format of the Kotlin code with ktlint, by the rules in .editorconfig.
# usage: scripts/lint_kotlin.sh [--format]   (--format: fix what can be fixed)   Exit codes: 0 clean or skipped, 1 findings
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/apt_packages.sh "ktlint" java:default-jdk-headless mvn:maven || exit $(($? == 75 ? 0 : 1))
ktlint=$(scripts/maven_jars.sh android_app/lint.lock)
exec java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "$ktlint" --log-level=error --relative "$@" \
  'android_app/**/*.kt' 'android_app/**/*.kts' '!android_app/build/**'
