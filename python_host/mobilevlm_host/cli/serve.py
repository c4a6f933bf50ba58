"""``mvlm serve``: OpenAI's API and a camera page."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from mobilevlm_export.errors import DependencyError
from mobilevlm_host.cli.options import THREADS, backend_option, no_weight_cache_option
from mobilevlm_host.terminal.command import examples
from mobilevlm_host.terminal.output import drawn_progress


@click.command(
    epilog=examples(
        "mvlm serve demo.mvlm",
        "mvlm serve demo.mvlm --host 0.0.0.0 --self-signed --api-key secret",
        "curl http://127.0.0.1:8000/v1/models",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path))
@backend_option
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 is all of them."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 is any free port.")
@click.option(
    "--api-key", envvar="MVLM_API_KEY", show_envvar=True, metavar="KEY", help="Answer only clients that send this key."
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let pages of another site ask, such as https://example.org.",
)
@click.option("--fetch-images", is_flag=True, help="Fetch pictures that a request names by http or https.")
@click.option(
    "--queue",
    "queue_size",
    type=click.IntRange(1, 1024),
    default=16,
    show_default=True,
    help="Questions that may wait.",
)
@click.option("--certfile", type=click.Path(path_type=Path), help="Serve HTTPS with this certificate (PEM).")
@click.option(
    "--keyfile", type=click.Path(path_type=Path), help="The certificate's key, if it is in a file of its own."
)
@click.option("--self-signed", is_flag=True, help="Serve HTTPS with a certificate made by this machine.")
@click.option("--threads", type=THREADS, help="CPU threads. [default: the engine's choice]")
@no_weight_cache_option
def serve(
    bundle: Path,
    backend: str | None,
    host: str,
    port: int,
    api_key: str | None,
    origins: tuple[str, ...],
    fetch_images: bool,
    queue_size: int,
    certfile: Path | None,
    keyfile: Path | None,
    self_signed: bool,
    threads: int | None,
) -> None:
    """Answer questions about pictures with BUNDLE over HTTP: a page with the camera, and OpenAI's chat API.

    Only this machine can connect, unless --host says otherwise. Ctrl-C ends it.
    """
    if self_signed and certfile:
        raise click.UsageError("--self-signed makes a certificate: omit --certfile")
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key and " " not in api_key):
        raise click.UsageError("--api-key: expected a text of ASCII letters, digits and signs, without blanks")
    if keyfile and not certfile:
        raise click.UsageError("--keyfile is the key of --certfile: give both")
    try:
        import cryptography  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise DependencyError(f"mvlm serve needs {error.name}: pip install 'mobilevlm-kit[serve]'") from None
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_host.serve.access import AccessRules
    from mobilevlm_host.serve.answer_queue import AnswerQueue
    from mobilevlm_host.serve.certificate import fingerprint, lan_address, own_certificate
    from mobilevlm_host.serve.served_model import ServedModel
    from mobilevlm_host.serve.web_app import web_app
    from mobilevlm_host.serve.web_server import is_loopback, listen, run_server, server_log

    certificate = own_certificate(host) if self_signed else (certfile, keyfile or certfile) if certfile else None
    with listen(host, port) as listening, server_log() as log:  # before the model is loaded, which takes longer
        with drawn_progress() as progress:
            opened = Bundle.open(bundle, progress=progress)
            progress("loading the model", 0, 0)
            model = ServedModel.open(opened, backend, threads, progress)
        if model.engine.shows:
            click.echo(model.engine.shows, err=True)
        open_to_all = not is_loopback(listening)
        if open_to_all and not api_key:
            click.echo("Warning: anyone in this network can ask this server; --api-key lets only some", err=True)
        if open_to_all and not certificate:
            click.echo(
                "Warning: without HTTPS (--self-signed or --certfile) others can read along, and phones keep their camera off",
                err=True,
            )
        scheme, shown = "https" if certificate else "http", host
        if host in ("0.0.0.0", "::"):
            shown = lan_address() or "127.0.0.1"
        address = f"[{shown}]" if ":" in shown else shown
        click.echo(f"Serving {model.name} at {scheme}://{address}:{listening.getsockname()[1]}/ (Ctrl-C ends it)")
        if self_signed and certificate:
            click.echo(f"SHA-256 of the certificate: {fingerprint(certificate[0])}")
        answers = AnswerQueue(model, queue_size)
        app = web_app(model, answers, AccessRules(host, api_key, origins), log, fetch_images=fetch_images)
        with opened, suppress(KeyboardInterrupt):
            run_server(app, answers, listening, log, certificate)
    click.echo("Stopped", err=True)
