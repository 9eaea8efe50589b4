"""Files of huggingface.co, by its own client and in its own cache."""

import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars


def fetch_file(repository: str, filename: str, revision: str = "") -> tuple[Path, str]:
    """The path of a file on this machine, downloaded on first use, and the revision that it is of.

    Args:
        revision: a commit; empty for the newest, or what the cache has of it.

    Raises: OSError if it is not in the cache and cannot be reached.
    """
    try:
        path = Path(hf_hub_download(repository, filename, revision=revision or None, local_files_only=True))
    except LocalEntryNotFoundError:
        _check_online()
        path = Path(_download(repository, filename, revision or None))
    return path, path.parents[len(Path(filename).parts) - 1].name  # as the hub's cache has it


def _check_online() -> None:
    """Raises OSError if the hub's name is unknown here: its client would try again for half a minute."""
    host = urlsplit(constants.ENDPOINT).hostname
    if not constants.HF_HUB_OFFLINE and not getproxies():
        socket.getaddrinfo(host, None)


def _download(repository: str, filename: str, revision: str | None) -> str:
    """Downloads with a progress bar on a terminal and silently elsewhere."""
    if sys.stderr.isatty() or are_progress_bars_disabled():
        return hf_hub_download(repository, filename, revision=revision)
    disable_progress_bars()
    try:
        return hf_hub_download(repository, filename, revision=revision)
    finally:
        enable_progress_bars()
