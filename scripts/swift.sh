#!/usr/bin/env bash
# Run a command where Swift 6 is: here if `swift` is installed, otherwise in a Debian system of its own, made once in the cache.
# usage: scripts/swift.sh COMMAND...   (in the current folder)   Exit codes: the command's, 75 skipped, 1 it may not be (CI=true).
set -euo pipefail
if command -v swift >/dev/null; then
  exec "$@"
fi
skip() {
  echo "skipped the iOS tests: $1" >&2
  [ "${CI:-}" = true ] && exit 1
  exit 75
}
root=${XDG_CACHE_HOME:-$HOME/.cache}/mobilevlm-kit/swift
suite=trixie # the first Debian with swiftlang 6

packages=swiftlang,libc6-dev,libstdc++-14-dev,zlib1g-dev

if [ "$(cat "$root/.packages" 2>/dev/null)" != "$packages" ]; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || skip "no swift here; install Swift 6, or run as root on Debian or Ubuntu"
  "$(dirname "$0")/apt_packages.sh" "the iOS tests" mmdebstrap:mmdebstrap
  # The mirror that this machine's own apt uses.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/\?$' || true)
  [ -n "$mirror" ] || skip "no swift here, and apt knows no Debian mirror to fetch it from"
  echo "making a Debian with Swift in $root (three minutes, 2 GB, once)" >&2
  rm -rf "$root"
  mkdir -p "$root"
  drop=()
  # What a build never reads.
  for path in usr/share/doc usr/share/man usr/share/locale 'usr/libexec/swift/*/lib/swift_static' 'usr/libexec/swift/lib/swift_static' \
    'usr/libexec/swift/bin/*lldb*' 'usr/libexec/swift/lib/*lldb*' 'usr/libexec/swift/bin/clangd' 'usr/libexec/swift/bin/*docc*'; do
    drop+=("--dpkgopt=path-exclude=/$path" "--dpkgopt=path-exclude=/$path/*")
  done
  mmdebstrap --quiet --mode=root --variant=apt "${drop[@]}" --include=$packages "$suite" "$root" "$mirror" >&2
  rm -rf "$root"/var/cache/apt "$root"/var/lib/apt/lists
  echo "$packages" >"$root/.packages"
fi
repo=$(cd "$(dirname "$0")/.." && pwd)
# A mount namespace of its own, which ends with the command.
# shellcheck disable=SC2016 # expands inside
exec unshare --mount --fork --kill-child bash -c '
  set -e
  root=$1 repo=$2 here=$3
  shift 3
  mkdir -p "$root/proc" "$root/dev" "$root/src"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --bind "$repo" "$root/src"
  mount -t tmpfs tmpfs "$root/tmp" # SwiftPM locks a build by its path there, which is the same in every checkout
  exec chroot "$root" bash -c '\''cd "/src/$1"; shift; exec "$@"'\'' _ "$here" "$@"
' _ "$root" "$repo" "$(realpath --relative-to="$repo" .)" "$@"
