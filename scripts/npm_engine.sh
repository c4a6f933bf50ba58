#!/usr/bin/env bash
# Fetch the package with the ExecuTorch engine through npm, check its SHA-256, and print the folder with classes.jar and ABI/libexecutorch.so.
# usage: scripts/npm_engine.sh LOCK
set -euo pipefail
read -r sha256 package <<<"$(grep -v '^#' "$1")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mobilevlm-kit/android/engine
archive=$cache/${package//[@\/]/-}.tgz
folder=$cache/$sha256
mkdir -p "$cache"

if [ ! -d "$folder" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  if ! [ -f "$archive" ]; then
    echo "fetching $package through npm (38 MB, once)" >&2
    (cd "$work" && npm pack --silent "$package" >/dev/null)
    mv "$work"/*.tgz "$archive"
  fi
  if ! echo "$sha256  $archive" | sha256sum --check --status; then
    echo "$archive: got SHA-256 $(sha256sum "$archive" | cut -c-16)…, expected ${sha256:0:16}…, as in $1" >&2
    rm -f "$archive"
    exit 1
  fi
  libraries=package/third-party/android/libs/executorch
  tar -xzf "$archive" -C "$work" package/android/libs/classes.jar $libraries
  mkdir "$work/engine"
  mv "$work/package/android/libs/classes.jar" "$work"/$libraries/* "$work/engine/"
  mv -T "$work/engine" "$folder"
fi
echo "$folder"
