#!/usr/bin/env bash
# Unpack the engine from an Android library of ExecuTorch (executorch-android-VERSION.aar); print the folder with classes.jar and ABI/libexecutorch.so.
# usage: scripts/aar_engine.sh ENGINE.aar
set -euo pipefail
[ -f "$1" ] || { echo "$1: no such file, expected an Android library such as executorch-android-1.5.1.aar" >&2 && exit 1; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mobilevlm-kit/android/engine
folder=$cache/$(sha256sum "$1" | cut -d' ' -f1)
if [ ! -d "$folder" ]; then
  mkdir -p "$cache"
  work=$(mktemp -d -p "$cache")
  trap 'rm -rf "$work"' EXIT
  aar=$(realpath "$1")
  (cd "$work" && jar xf "$aar" classes.jar jni 2>/dev/null && [ -f classes.jar ] && ls jni/*/libexecutorch.so) >/dev/null 2>&1 || { echo "$1: got another file, expected an Android library with classes.jar and jni/ABI" >&2 && exit 1; }
  mkdir "$work/engine"
  mv "$work/classes.jar" "$work"/jni/* "$work/engine/"
  mv -T "$work/engine" "$folder"
fi
echo "$folder"
