"""Fetching without a connection to the outside; the hub itself is not asked."""

import hashlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from huggingface_hub import constants

from medssm.checkpoints import fetch_published
from medssm.checkpoints.hub import fetch_url
from medssm.errors import CheckpointError, UsageError


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The address of a web server on this machine, and the folder that it serves."""
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}", folder
    httpd.shutdown()
    httpd.server_close()


def test_a_file_is_downloaded_once(server):
    address, folder = server
    (folder / "w.pth").write_bytes(b"weights")
    path = fetch_url(f"{address}/w.pth", size=7)
    assert path.read_bytes() == b"weights"
    (folder / "w.pth").unlink()
    assert fetch_url(f"{address}/w.pth") == path


def test_a_file_of_another_size_is_refused_and_not_kept(server):
    address, folder = server
    (folder / "w.pth").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="4 bytes came instead of 7"):
        fetch_url(f"{address}/w.pth", size=7)
    (folder / "w.pth").write_bytes(b"weights")
    assert fetch_url(f"{address}/w.pth", size=7).read_bytes() == b"weights"


def test_an_absent_file_is_an_error_of_the_network(server):
    with pytest.raises(OSError, match="404"):
        fetch_url(f"{server[0]}/none.pth")


def test_weights_behind_a_browser_name_the_page():
    with pytest.raises(UsageError, match=r"mamband-video-k400: .*huggingface\.co/jacklishufan.*--weights"):
        fetch_published("mamband-video-k400")


def test_offline_the_sentence_says_what_to_download_and_give():
    with pytest.raises(
        CheckpointError, match=r"mamband-s: .*btcv/mamband-s\.pt from .*jacklishufan/Mamba-ND.*--weights"
    ):
        fetch_published("mamband-s")


def test_a_file_in_the_cache_is_used_without_a_connection_and_its_licence_printed(tmp_path, capsys):
    snapshot = tmp_path / "models--jacklishufan--Mamba-ND" / "snapshots" / ("0" * 40)
    reference = tmp_path / "models--jacklishufan--Mamba-ND" / "refs" / "main"
    (snapshot / "btcv").mkdir(parents=True)
    reference.parent.mkdir()
    reference.write_text("0" * 40)
    (snapshot / "btcv" / "mamband-b-64.pt").write_bytes(b"weights")
    assert fetch_published("mamband-b-64").read_bytes() == b"weights"
    assert "mamband-b-64: licence of the weights: none stated" in capsys.readouterr().err


def test_our_own_model_has_no_published_weights():
    with pytest.raises(UsageError, match="mamband-xs: nothing was published for it"):
        fetch_published("mamband-xs")


def test_a_file_that_is_no_longer_the_one_that_was_fetched_is_refused(tmp_path, capsys):
    snapshot = tmp_path / "models--jacklishufan--Mamba-ND" / "snapshots" / ("0" * 40) / "btcv"
    snapshot.mkdir(parents=True)
    (snapshot.parents[2] / "refs").mkdir()
    (snapshot.parents[2] / "refs" / "main").write_text("0" * 40)
    weights = snapshot / "mamband-b-64.pt"
    weights.write_bytes(b"weights")
    fetch_published("mamband-b-64")
    assert hashlib.sha256(b"weights").hexdigest() in capsys.readouterr().err
    fetch_published("mamband-b-64")
    assert "SHA-256" not in capsys.readouterr().err
    weights.write_bytes(b"forgery")
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"is not the file that was fetched first .*take mamband-b-64 out of"):
            fetch_published("mamband-b-64")
    weights.write_bytes(b"weights")
    assert fetch_published("mamband-b-64") == weights
