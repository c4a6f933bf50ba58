"""Write the API reference, a page for each module that a public name is defined in: ``python scripts/api_docs.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import pdoc

import mobilevlm_export
import mobilevlm_host


def main(folder: Path) -> None:
    """Write the pages into ``folder``."""
    homes = {*mobilevlm_export._HOMES.values(), *mobilevlm_host._HOMES.values()}
    modules = sorted({*homes, "mobilevlm_host.ask.conversation"})  # which the runner is
    pdoc.render.configure(docformat="restructuredtext", show_source=False)
    pdoc.pdoc(*modules, output_directory=folder)
    print(f"Wrote {folder}/index.html: {', '.join(modules)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
