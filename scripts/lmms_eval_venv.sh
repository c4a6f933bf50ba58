#!/usr/bin/env bash
# Make the virtual environment VENV with lmms-eval and this checkout, on top of the packages of PYTHON's (about 250 MB, half a
# minute, once). Prints nothing if it is up to date.
# usage: scripts/lmms_eval_venv.sh PYTHON VENV
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 venv=$2 packages=scripts/lmms_eval_packages.txt

wanted=$(cat "$packages" pyproject.toml && "$python" -c 'import sys; print(sys.prefix)')
[ "$(cat "$venv/made-from" 2>/dev/null)" != "$wanted" ] || exit 0
echo "installing lmms-eval into $venv" >&2
rm -rf "$venv"
"$python" -m venv "$venv"
# Neither PyTorch nor the rest of the kit's packages a second time.
"$python" -c 'import site; print("\n".join(site.getsitepackages()))' >"$("$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')/kit.pth"
PIP_CONSTRAINT=$PWD/constraints.txt "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$packages" -e .
printf '%s\n' "$wanted" >"$venv/made-from"
