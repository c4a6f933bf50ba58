"""The command itself: mistakes in one line, HTTPS with a certificate of its own, and an end at once."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from chat_requests import body, picture
from click.testing import CliRunner
from scripted_model import served_on_a_port

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import EngineError
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.serve.certificate import fingerprint, own_certificate
from mobilevlm_host.serve.served_model import ServedModel
from mobilevlm_host.serve.web_server import is_loopback, listen


def test_a_port_in_use_or_another_machine_is_one_line() -> None:
    with listen("127.0.0.1", 0) as used:
        assert is_loopback(used)
        port = used.getsockname()[1]
        refused = CliRunner().invoke(main, ["serve", "none.mvlm", "--port", str(port)])
        assert refused.exit_code == 1
        assert refused.output == f"Error: 127.0.0.1:{port}: Address already in use; choose another --host or --port\n"
    with pytest.raises(EngineError, match="choose another --host"):
        listen("192.0.2.1", 0)
    with pytest.raises(EngineError, match="expected a name or an address of this machine"):
        listen("no.such.host.invalid", 0)


def test_a_missing_bundle_is_one_line(tmp_path: Path) -> None:
    refused = CliRunner().invoke(main, ["serve", str(tmp_path / "none.mvlm"), "--port", "0"])
    assert refused.exit_code == 1
    assert refused.output.startswith(f"Error: {tmp_path / 'none.mvlm'}: no such bundle")
    for wrong in (["--keyfile", "a"], ["--certfile", "a", "--self-signed"]):
        assert CliRunner().invoke(main, ["serve", "a.mvlm", *wrong]).exit_code == 2


@pytest.mark.parametrize("key", ["", " ", "two words", "ключ", "a\n"])
def test_a_key_that_no_client_can_send_is_refused(key: str) -> None:
    refused = CliRunner().invoke(main, ["serve", "none.mvlm", "--api-key", key])
    assert refused.exit_code == 2
    assert "--api-key: expected a text of ASCII" in refused.output


def test_a_bundle_that_vanishes_is_still_served(tiny_bundle: Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "tiny.mvlm"
    shutil.copytree(tiny_bundle.path, copy)
    with Bundle.open(copy) as opened, served_on_a_port(ServedModel.open(opened)) as address:
        answers = []
        for seed in (0, 1, 0):  # the third picture was seen, the second wasn't
            request = urllib.request.Request(f"{address}/v1/chat/completions", json.dumps(body(seed=seed)).encode())
            with urllib.request.urlopen(request) as response:
                answers.append(json.load(response)["choices"][0]["message"]["content"])
            shutil.rmtree(copy, ignore_errors=True)
        assert not copy.exists()
    with Runner(tiny_bundle) as runner:
        asked = [picture(0), picture(1), picture(0)]
        assert answers == ["".join(runner.ask(each, "What is this?", max_new_tokens=12)) for each in asked]


def test_an_own_certificate_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    certificate, key = own_certificate("0.0.0.0")
    first = fingerprint(certificate)
    assert re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", first)
    assert key.stat().st_mode & 0o077 == 0
    assert fingerprint(own_certificate("0.0.0.0")[0]) == first
    assert fingerprint(own_certificate("10.1.2.3")[0]) != first  # a name that it lacked
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    assert sorted(path.name for path in certificate.parent.iterdir()) == ["certificate.pem", "key.pem"]


def test_the_command_serves_https_until_it_is_ended(tiny_bundle: Bundle, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = "from mobilevlm_host.cli.mvlm import main; main()"
    options = ["serve", str(tiny_bundle.source), "--port", "0", "--self-signed"]
    with subprocess.Popen(
        [sys.executable, "-c", command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout
        stuck = threading.Timer(120, process.kill)
        stuck.start()
        address = re.search(r"https://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert address
        context = ssl.create_default_context(cafile=tmp_path / "mobilevlm-kit" / "serve" / "certificate.pem")
        with urllib.request.urlopen(f"{address[0]}health", context=context) as response:
            assert response.read() == b'{"status":"ok"}'
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=30)
        stuck.cancel()
    assert process.returncode == 0
    assert "Traceback" not in log
    assert re.search(r"GET /health 200 \d\.\d\d s\nStopped\n$", log)
