"""``python -m mobilevlm_host.bench.peer``: compare the kit with llama.cpp. ``make bench`` runs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from mobilevlm_export.demo.built_in import DEMO
from mobilevlm_export.files.cache import cache_folder
from mobilevlm_host.bench.peer.require_peer import require_peer
from mobilevlm_host.terminal.command import examples, hide_library_warnings, json_option, one_line_errors
from mobilevlm_host.terminal.output import drawn_progress, print_json

_QUESTIONS = 200


@click.command(
    epilog=examples(
        "python -m mobilevlm_host.bench.peer",
        "python -m mobilevlm_host.bench.peer 1.7b --rounds 7 --json",
        "python -m mobilevlm_host.bench.peer ./MobileVLM_V2-1.7B --bundle mobilevlm-1.7b.mvlm",
    )
)
@click.argument("checkpoint", default=DEMO)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="Compare this bundle, made from CHECKPOINT. [default: a new int4 export]",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Rounds, each in fresh processes."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default=True,
    help="CPU threads per engine.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=lambda: cache_folder("peer"),
    show_default="~/.cache/mobilevlm-kit/peer",
    help="Folder that caches GGUF files and random checkpoints, and holds a new bundle while it is measured.",
)
@json_option
def main(checkpoint: str, bundle: Path | None, rounds: int, threads: int, work: Path, as_json: bool) -> None:
    """Measure CHECKPOINT with the kit and with llama.cpp, interleaved: `demo`, a folder, or a size with random weights,
    which are those of `mvlm synth`: 1.7b, 3b, 7b, v1-1.7b, v1-3b and llava-1.5-7b.

    Image, prompt and token ids are the same. For the demo, answers to held-out questions are compared too.
    """
    hide_library_warnings()
    with one_line_errors():
        require_peer()
        from mobilevlm_host.bench.peer.comparison import compare
        from mobilevlm_host.bench.peer.comparison_report import print_comparison
        from mobilevlm_host.bench.peer.peer_files import bundle_of, checkpoint_of, llama_cpp_files

        with drawn_progress() as progress:
            folder = checkpoint_of(checkpoint, work, progress)
            work.mkdir(parents=True, exist_ok=True)
            with bundle_of(folder, bundle, work, progress) as opened:
                peers = llama_cpp_files(folder, opened.manifest.source_sha256, work, threads, progress)
                questions = _QUESTIONS if checkpoint == DEMO else 0
                found = compare(
                    folder, opened, peers, threads=threads, rounds=rounds, questions=questions, progress=progress
                )
        if as_json:
            print_json(found.to_json())
        else:
            print_comparison(found)


if __name__ == "__main__":
    sys.exit(main(prog_name="python -m mobilevlm_host.bench.peer"))
