"""Published weights, fetched once and kept in the cache of huggingface_hub."""

import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from medssm.errors import CheckpointError, UsageError
from medssm.models import model_info


def fetch_published(name: str) -> Path:
    """The path of a model's published weights on this machine, downloaded on first use with a progress bar.

    Raises: UsageError if nothing was published for the model; CheckpointError if the hub cannot be reached.
    """
    weights = model_info(name).weights
    if weights is None:
        raise UsageError(f"{name}: nothing was published for it; train it, or give weights with --weights or --run")
    try:
        return Path(_cached_or_downloaded(weights.repository, weights.filename))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise CheckpointError(
            f"{name}: its weights are not in the cache and could not be fetched ({reason}); download "
            f"{weights.filename} from huggingface.co/{weights.repository} elsewhere and give it with --weights"
        ) from error


def _cached_or_downloaded(repository: str, filename: str) -> str:
    try:
        return hf_hub_download(repository, filename, local_files_only=True)
    except LocalEntryNotFoundError:
        _check_online()
        return _download(repository, filename)


def _check_online() -> None:
    """Raises OSError if the hub's name is unknown here: its client would try again for half a minute."""
    host = urlsplit(constants.ENDPOINT).hostname
    if not constants.HF_HUB_OFFLINE and not getproxies():
        socket.getaddrinfo(host, None)


def _download(repository: str, filename: str) -> str:
    """Downloads with a progress bar on a terminal and silently elsewhere."""
    if sys.stderr.isatty() or are_progress_bars_disabled():
        return hf_hub_download(repository, filename)
    disable_progress_bars()
    try:
        return hf_hub_download(repository, filename)
    finally:
        enable_progress_bars()
