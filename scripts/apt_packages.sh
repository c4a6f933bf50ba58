#!/usr/bin/env bash
# Ensure that commands exist: as root, install their Debian packages; otherwise report what is missing.
# usage: scripts/apt_packages.sh WHAT COMMAND:PACKAGE...   Exit codes: 0 all present, 75 WHAT is skipped, 1 it must not be skipped (CI=true).
set -euo pipefail
what=$1
shift
missing=()
for pair in "$@"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${missing[*]} for $what" >&2
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  exit 0
fi
echo "skipped $what: missing ${missing[*]}; install them first: sudo apt-get install ${missing[*]}" >&2
[ "${CI:-}" = true ] && exit 1
exit 75
