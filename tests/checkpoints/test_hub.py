"""Fetching without a connection; the hub itself is not asked."""

import pytest
from huggingface_hub import constants

from medssm.checkpoints import fetch_published
from medssm.errors import CheckpointError, UsageError


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


def test_offline_the_sentence_says_what_to_download_and_give():
    with pytest.raises(
        CheckpointError, match=r"mamband-s: .*btcv/mamband-s\.pt from .*jacklishufan/Mamba-ND.*--weights"
    ):
        fetch_published("mamband-s")


def test_a_file_in_the_cache_is_used_without_a_connection(tmp_path):
    snapshot = tmp_path / "models--jacklishufan--Mamba-ND" / "snapshots" / ("0" * 40)
    reference = tmp_path / "models--jacklishufan--Mamba-ND" / "refs" / "main"
    (snapshot / "btcv").mkdir(parents=True)
    reference.parent.mkdir()
    reference.write_text("0" * 40)
    (snapshot / "btcv" / "mamband-b-64.pt").write_bytes(b"weights")
    assert fetch_published("mamband-b-64").read_bytes() == b"weights"


def test_our_own_model_has_no_published_weights():
    with pytest.raises(UsageError, match="mamband-xs: nothing was published for it"):
        fetch_published("mamband-xs")
