#!/usr/bin/env bash
# Make the virtual environment VENV with PYTHON, with the versions pinned in constraints.txt.
# usage: scripts/make_venv.sh PYTHON VENV
set -euo pipefail
python=$1 venv=$2

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
  echo "make setup: got $("$python" --version 2>&1 || true), expected Python 3.11 to 3.13; name one: make PYTHON=python3.12" >&2
  exit 1
fi
# Debian and Ubuntu ship venv's pip in a separate package.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  package=python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq "$package" >/dev/null
  else
    echo "make setup: Python's venv module is missing; install it first: sudo apt-get install $package" >&2
    exit 1
  fi
fi
echo "make setup: installing into $venv (PyTorch and ExecuTorch: about 5 GB, some minutes)" >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
# Shows pip's output, one line per package, and the elapsed time while pip unpacks silently, which takes longest.
PIP_CONSTRAINT=constraints.txt "$venv/bin/pip" install --disable-pip-version-check --progress-bar off -e '.[dev]' |
  "$venv/bin/python" scripts/show_pip.py
