"""``python -m mobilevlm_host.android.apk``: check statically whether an app's engine can run a bundle."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from mobilevlm_export.errors import MobileVLMError
from mobilevlm_host.android.apk.check_apk import ApkFinding, check_apk
from mobilevlm_host.terminal.command import hide_library_warnings

_EPILOG = """\b
Examples:
  python -m mobilevlm_host.android.apk app.apk
  python -m mobilevlm_host.android.apk app.apk demo.mvlm
  python -m mobilevlm_host.android.apk app.apk model.pte --json
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("apk", type=click.Path(path_type=Path))
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(apk: Path, bundle: Path | None, as_json: bool) -> None:
    """Check the APK: alignment, libraries, and that every native method declared by its classes is in a library.

    With BUNDLE (a bundle or a .pte), also check that every operator and backend of its program is in the engine. Exits with 1 if
    anything is missing. This doesn't show what the engine computes on a phone.
    """
    hide_library_warnings()
    try:
        findings = _check(apk, bundle)
    except MobileVLMError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    if as_json:
        print(
            json.dumps(
                {
                    "ok": not any(finding.wrong for finding in findings),
                    "findings": [asdict(finding) for finding in findings],
                }
            )
        )
    else:
        for finding in findings:
            print(f"{'✗' if finding.wrong else '✓'} {finding.what}: {finding.count}")
            for line in finding.wrong:
                print(f"    {line}")
    if any(finding.wrong for finding in findings):
        sys.exit(1)


def _check(apk: Path, bundle: Path | None) -> list[ApkFinding]:
    if bundle is None or bundle.suffix == ".pte":
        return check_apk(apk, bundle)
    from mobilevlm_export.bundle.read import Bundle

    with Bundle.open(bundle) as opened:
        return check_apk(apk, opened.artifact("executorch"))


if __name__ == "__main__":
    main()
