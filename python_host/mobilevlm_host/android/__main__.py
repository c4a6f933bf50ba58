"""``python -m mobilevlm_host.android``: the speed and memory of Android's engine with a bundle, in a JVM on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from mobilevlm_export.errors import MobileVLMError
from mobilevlm_export.progress import megabytes
from mobilevlm_host.android.android_methods import AndroidMethods
from mobilevlm_host.android.host import AndroidHost
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_facts, print_json, print_table

_FIGURES = {
    "load_s": "load, with files in the file cache",
    "very_first_token_s": "first token, right after loading",
    "image_encode_s": "picture",
    "first_token_s": "first token",
    "prepared_first_token_s": "first token, image prepared",
}


@click.command(
    epilog=examples(
        "python -m mobilevlm_host.android demo.mvlm",
        "python -m mobilevlm_host.android random-1.7b.mvlm --engine executorch-android-1.5.1.aar --json",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--engine", type=click.Path(path_type=Path), metavar="AAR", help="Another engine. [default: the one in make apk]"
)
@json_option
def main(bundle: Path, engine: Path | None, as_json: bool) -> None:
    """Measure BUNDLE with Android's engine: seconds, tokens per second, and memory without the JVM's.

    Private memory can't be reclaimed by the system; mapped memory is the program's file, whose pages can be evicted and reloaded.
    """
    from mobilevlm_export.bundle.read import Bundle

    try:
        with (
            drawn_progress() as progress,
            Bundle.open(bundle, progress=progress) as opened,
            AndroidMethods(opened, AndroidHost(engine=engine), progress) as running,
        ):
            progress("measuring", 0, 0)
            figures = less_the_jvm(running.bench())
    except MobileVLMError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    if as_json:
        print_json({"bundle": str(bundle)} | figures)
        return
    speeds = [(name, f"{figures[key]:.3g} s") for key, name in _FIGURES.items()]
    speeds += [
        (key.removesuffix("_tok_s").replace("_", " "), f"{value:.3g} tok/s")
        for key, value in figures.items()
        if key.endswith("_tok_s")
    ]
    print_table(str(bundle), ("figure", "here"), speeds)
    rows = [(at["at"], megabytes(at["private_bytes"]), megabytes(at["file_bytes"])) for at in figures["memory"]]
    print_table("memory, without the JVM's", ("after", "private", "mapped"), rows)
    print_facts("need", {"according to the manifest": megabytes(figures["needed_bytes"])})


def less_the_jvm(figures: dict[str, Any]) -> dict[str, Any]:
    """``figures`` with memory relative to the JVM with nothing loaded, which is the first entry."""
    empty, *later = figures["memory"]
    kinds = ("private_bytes", "file_bytes")
    return figures | {"memory": [{"at": at["at"]} | {kind: at[kind] - empty[kind] for kind in kinds} for at in later]}


if __name__ == "__main__":
    main()
