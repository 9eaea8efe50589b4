"""The page's server: one page, at one address, for this machine only."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import nibabel as nib
import numpy as np
import pytest

from medssm.viewing.page.server import LOOPBACK, MOST_CLIENTS, PageServer, serve_page

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


@pytest.mark.parametrize(
    "request_line", [b"", b"\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\n", b"\0\xff\n", b"GET " * 40]
)
def test_clients_that_go_away_or_speak_no_http_leave_no_trace(
    request_line: bytes, server: PageServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        with socket.create_connection((LOOPBACK, server.server_port)) as client:
            client.sendall(request_line)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closed by a reset
    assert status(server, server.path) == 200
    assert capfd.readouterr().err == ""


def test_silent_clients_take_no_more_threads_than_there_are_places(server: PageServer) -> None:
    before = threading.active_count()
    clients = [socket.create_connection((LOOPBACK, server.server_port)) for _ in range(3 * MOST_CLIENTS)]
    try:
        refused = [client for client in clients[MOST_CLIENTS:] if client.recv(1) == b""]
        assert len(refused) == 2 * MOST_CLIENTS
        assert threading.active_count() <= before + MOST_CLIENTS
    finally:
        for client in clients:
            client.close()


def test_the_browser_is_not_told_the_secret_address_as_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, str, int]] = []

    def browse(address: str) -> bool:
        path = Path(url2pathname(urlsplit(address).path))
        opened.append((address, path.read_text(encoding="utf-8"), path.stat().st_mode))
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", browse)
    serve_page(PAGE, lambda url, is_open: None)
    [(address, content, mode)] = opened
    assert address.startswith("file://")
    assert mode & 0o077 == 0
    [secret] = set(re.findall(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", content))
    assert secret.rsplit("/", 2)[1] not in address
    assert not Path(url2pathname(urlsplit(address).path)).parent.exists()


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
