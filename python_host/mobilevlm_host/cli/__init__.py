"""``mvlm``: one file for each command."""

from __future__ import annotations

from mobilevlm_host.cli.mvlm import main as main
