"""The page's server: one page, at one address, for this machine only."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medssm.viewing.page.server import LOOPBACK, PageServer

PAGE = "<!doctype html><p>größer</p>"


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer(PAGE) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def status(server: PageServer, path: str, method: str = "GET", host: str | None = None) -> int:
    connection = http.client.HTTPConnection(LOOPBACK, server.server_port)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == 200 or PAGE.encode() not in content
    return answer.status


def test_the_page_is_at_its_address(server: PageServer) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(server.url) as answer:
        assert answer.read().decode("utf-8") == PAGE
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"


def test_other_addresses_methods_and_hosts_get_nothing(server: PageServer) -> None:
    assert status(server, server.path) == 200
    for path in (
        "/",
        "/index.html",
        server.path[:-1],
        server.path + "x",
        server.path.lower() + "..",
        "/%2e%2e/etc/passwd",
    ):
        assert status(server, path) == 404
    assert status(server, server.path, host="attacker.example") == 404
    assert status(server, server.path, method="POST") == 501


def test_the_address_cannot_be_guessed(server: PageServer) -> None:
    with PageServer(PAGE) as other:
        assert server.path != other.path
        assert len(server.path.strip("/")) >= 32


def test_only_the_loopback_interface_listens(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with socket.socket() as elsewhere:
        elsewhere.settimeout(5)
        with pytest.raises(OSError, match="refused"):
            elsewhere.connect(("127.0.0.2", server.server_port))


def test_the_command_serves_until_ctrl_c(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((6, 6, 6), np.int16), np.eye(4)), tmp_path / "scan.nii.gz")
    command = [sys.executable, "-c", "from medssm.cli.main import main; main()", "view", "scan.nii.gz", "--no-browser"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        url = process.stdout.readline().split(": ")[0]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url) as answer:
            assert "<title>scan.nii.gz - medssm</title>" in answer.read().decode("utf-8")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 0
    assert errors == ""
