#!/usr/bin/env bash
# Run a command with Swift 6: here if `swift` is installed, otherwise in a separate Debian system, created once in the cache.
# usage: scripts/swift.sh COMMAND...   (in the current folder)   Exit codes: the command's, 75 skipped, 1 must not be skipped (CI=true).
set -euo pipefail
if command -v swift >/dev/null; then
  exec "$@"
fi
root=${XDG_CACHE_HOME:-$HOME/.cache}/mobilevlm-kit/swift
suite=trixie # the first Debian with swiftlang 6

packages=swiftlang,libc6-dev,libstdc++-14-dev,zlib1g-dev

drop=()
# Files that a build never reads.
for path in 'usr/libexec/swift/*/lib/swift_static' 'usr/libexec/swift/lib/swift_static' \
  'usr/libexec/swift/bin/*lldb*' 'usr/libexec/swift/lib/*lldb*' 'usr/libexec/swift/bin/clangd' 'usr/libexec/swift/bin/*docc*'; do
  drop+=("--dpkgopt=path-exclude=/$path" "--dpkgopt=path-exclude=/$path/*")
done
"$(dirname "$0")/debian_root.sh" "the iOS tests" "$root" "$suite" "$packages" --variant=apt "${drop[@]}" || exit $?
repo=$(cd "$(dirname "$0")/.." && pwd)
# A private mount namespace, which ends with the command.
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
