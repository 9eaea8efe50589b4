"""Fetching without a connection to the outside; the hub itself is not asked."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

from medssm.checkpoints import fetch_published
from medssm.checkpoints.hub import fetch_url
from medssm.errors import CheckpointError, UsageError
from medssm.models import model_info


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


@pytest.fixture
def keep(tmp_path: Path) -> Callable[..., Path]:
    """A function that puts weights of mamband-b-64 into the hub's cache, as the newest."""

    def write(content: bytes, revision: str = "0" * 40) -> Path:
        folder = tmp_path / "models--jacklishufan--Mamba-ND"
        weights = folder / "snapshots" / revision / "btcv" / "mamband-b-64.pt"
        for file, text in ((weights, content), (folder / "refs" / "main", revision.encode())):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)
        return weights

    return write


def test_a_file_in_the_cache_is_used_without_a_connection_and_its_licence_printed(keep, capsys):
    keep(b"weights")
    assert fetch_published("mamband-b-64").read_bytes() == b"weights"
    assert "mamband-b-64: licence of the weights: none stated" in capsys.readouterr().err


def test_our_own_model_has_no_published_weights():
    with pytest.raises(UsageError, match="mamband-xs: nothing was published for it"):
        fetch_published("mamband-xs")


def test_a_file_that_is_no_longer_the_one_that_was_fetched_is_refused(keep, capsys):
    weights = keep(b"weights")
    fetch_published("mamband-b-64")
    assert (
        f"{'0' * 40}, to be the same from now on: {hashlib.sha256(b'weights').hexdigest()}" in capsys.readouterr().err
    )
    fetch_published("mamband-b-64")
    assert "SHA-256" not in capsys.readouterr().err
    weights.write_bytes(b"forgery")
    for _ in range(2):
        with pytest.raises(
            CheckpointError, match=r"is not the file that was fetched first .*take btcv/mamband-b-64.pt in"
        ):
            fetch_published("mamband-b-64")
    weights.write_bytes(b"weights")
    assert fetch_published("mamband-b-64") == weights


def test_the_revision_of_the_first_download_is_asked_for_from_then_on(keep):
    first = keep(b"weights")
    fetch_published("mamband-b-64")
    keep(b"newer", "1" * 40)
    assert fetch_published("mamband-b-64") == first
    first.unlink()
    with pytest.raises(CheckpointError, match=rf"Mamba-ND \(revision {'0' * 40}\) elsewhere and give"):
        fetch_published("mamband-b-64")


def test_a_pinned_revision_and_hash_are_what_counts(keep):
    weights = model_info("mamband-b-64").weights
    pinned = replace(weights, revision="1" * 40, sha256=hashlib.sha256(b"newer").hexdigest())
    keep(b"weights")
    fetch_published("mamband-b-64")  # the hash that is pinned counts more than what was fetched first
    newer = keep(b"newer", "1" * 40)
    keep(b"weights")
    assert fetch_published("mamband-b-64", pinned) == newer
    newer.write_bytes(b"forgery")
    with pytest.raises(CheckpointError, match="has not the SHA-256 that its authors' has; delete it and try again"):
        fetch_published("mamband-b-64", pinned)


def test_what_is_published_on_one_model_is_known_file_by_file(keep):
    """As its classifier's weights and a detector's are."""
    keep(b"weights")
    fetch_published("mamband-b-64")
    other = keep(b"of a head").with_name("head.pt")
    other.write_bytes(b"of a head")
    keep(b"weights")
    head = replace(model_info("mamband-b-64").weights, filename="btcv/head.pt")
    assert fetch_published("mamband-b-64", head) == other
    assert fetch_published("mamband-b-64").read_bytes() == b"weights"


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "[" * 9999])
def test_a_record_that_cannot_be_read_is_begun_anew(keep, tmp_path, text, capsys):
    keep(b"weights")
    record = tmp_path / "cache" / "weights" / "known.json"
    record.parent.mkdir(parents=True)
    record.write_text(text)
    fetch_published("mamband-b-64")
    assert "to be the same from now on" in capsys.readouterr().err
