#!/usr/bin/env bash
# Create a Debian SUITE with PACKAGES (comma-separated) in the folder ROOT, once, from the mirror used by this machine's apt.
# usage: scripts/debian_root.sh WHAT ROOT SUITE PACKAGES MMDEBSTRAP_OPTIONS...   Exit codes: 0 present, 75 WHAT is skipped, 1 it must not be skipped (CI=true)
set -euo pipefail
what=$1 root=$2 suite=$3 packages=$4
shift 4
[ "$(cat "$root/.packages" 2>/dev/null)" != "$packages" ] || exit 0
skip() {
  echo "skipped $what: $1" >&2
  [ "${CI:-}" = true ] && exit 1
  exit 75
}
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || skip "missing ${packages%%,*}; run it as root on Debian or Ubuntu"
"$(dirname "$0")/apt_packages.sh" "$what" mmdebstrap:mmdebstrap
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/\?$' || true)
[ -n "$mirror" ] || skip "missing ${packages%%,*}, and apt knows no Debian mirror to fetch it from"
echo "making a Debian with ${packages%%,*} in $root (some minutes, once)" >&2
rm -rf "$root"
mkdir -p "$root"
drop=()
for path in usr/share/doc usr/share/man usr/share/locale; do drop+=("--dpkgopt=path-exclude=/$path" "--dpkgopt=path-exclude=/$path/*"); done
mmdebstrap --quiet --mode=root "${drop[@]}" "$@" --include="$packages" "$suite" "$root" "$mirror" >&2
rm -rf "$root"/var/cache/apt "$root"/var/lib/apt/lists
echo "$packages" >"$root/.packages"
