#!/usr/bin/env bash
# Make a release in dist/VERSION: wheel and sdist, the Android app, the demo's bundles, notes and SHA-256 sums.
# usage: scripts/release.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1

if [ -n "$(git status --porcelain)" ]; then
  echo "make release: got uncommitted changes, expected a clean working tree; commit or stash them first" >&2
  exit 1
fi
version=$("$python" -c 'import mobilevlm_export; print(mobilevlm_export.__version__)')
out=dist/$version
if [ -e "$out" ]; then
  echo "make release: $out already exists; remove it first" >&2
  exit 1
fi
mkdir -p dist
new=$(mktemp -d dist/.new.XXXXXX)
trap 'rm -rf "$new"' EXIT

"$python" scripts/release_notes.py "$version" >"$new/NOTES.md"
if head -1 "$new/NOTES.md" | grep -q '(unreleased)$'; then
  echo "make release: CHANGELOG.md calls $version unreleased; write its date there before you publish" >&2
fi
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) # files in the archives get the commit's time, so two clones give the same bytes
export SOURCE_DATE_EPOCH
PIP_CONSTRAINT=constraints.txt "$python" -m build --outdir "$new" . >"$new/build.log" 2>&1 || { cat "$new/build.log" >&2 && exit 1; }
rm "$new/build.log"
for backend in executorch coreml; do
  "$(dirname "$python")/mvlm" export demo -o "$new/demo-$backend.mvlm" --backend "$backend" --zip
  rm -r "$new/demo-$backend.mvlm"
done
CI=true scripts/make_apk.sh "$python" "$new/demo-executorch.mvlm.zip" # fails if its tools are missing
cp android_app/build/mobilevlm.apk "$new/mobilevlm-$version.apk"
cp android_app/build/unsigned.apk "$new/mobilevlm-$version-unsigned.apk"
(cd "$new" && sha256sum -- * >SHA256SUMS)
chmod 755 "$new"
mv -T "$new" "$out"
echo "Wrote $out:"
cat "$out/SHA256SUMS"
