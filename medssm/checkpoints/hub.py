"""Published weights, fetched once and kept in a cache: huggingface_hub's, or ours for plain addresses."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medssm.errors import CheckpointError, UsageError
from medssm.files import atomic_path, cache_folder, file_sha256, json_text
from medssm.models import model_info
from medssm.models.info import PublishedWeights

BLOCK = 1 << 20  # bytes read at a time
PATIENCE = 30  # seconds without an answer
KNOWN = "known.json"  # in the cache: revision and SHA-256 of every file that was fetched

_GIVE = "give the file with --weights FILE, to a training with --set model.pretrained=FILE"


def fetch_published(name: str, weights: PublishedWeights | None = None) -> Path:
    """The path of a model's published weights on this machine, downloaded on first use with a progress bar.

    Their licence is printed to the standard error.

    Args:
        weights: of a head on the model; None for those of the model itself.

    Raises: UsageError if nothing was published for the model, or only where a person can fetch it; CheckpointError if
        the file cannot be reached, or is another one than is known or was fetched first.
    """
    weights = weights or model_info(name).weights
    if weights is None:
        raise UsageError(f"{name}: nothing was published for it; train it, or give weights of your own")
    if not weights.repository and not weights.url:
        raise UsageError(
            f"{name}: its weights are published where only a browser can fetch them ({weights.whereabouts}); "
            f"download them and {_GIVE}"
        )
    known = _known().get(weights.whereabouts, {})
    revision = weights.revision or str(known.get("revision", ""))
    try:
        path, revision = _fetch(weights, revision)
    except OSError as error:  # the hub client's own errors are among them
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
        raise CheckpointError(
            f"{name}: its weights are not in the cache and could not be fetched ({reason}); download "
            f"{_from_where(weights, revision)} elsewhere and {_GIVE}"
        ) from error
    print(f"{name}: licence of the weights: {weights.licence}", file=sys.stderr)
    _trust_on_first_use(name, weights, path, revision)
    return path


def _trust_on_first_use(name: str, weights: PublishedWeights, path: Path, revision: str) -> None:
    """Records revision and SHA-256 of a file when it is first fetched, and tells them; later they must be the same.

    Where its authors publish no SHA-256 there is nothing else to compare with.

    Raises: CheckpointError if the file is another one than is known or was fetched first.
    """
    facts = {"size": path.stat().st_size, "changed": path.stat().st_mtime_ns}
    known, place = _known(), weights.whereabouts
    before = known.get(place, {})
    if facts == {key: before.get(key) for key in facts}:
        return
    digest = file_sha256(path)
    if weights.sha256 not in ("", digest):
        raise CheckpointError(f"{name}: {path} has not the SHA-256 that its authors' has; delete it and try again")
    if before and digest not in (before.get("sha256"), weights.sha256):
        raise CheckpointError(
            f"{name}: {path} is not the file that was fetched first (its SHA-256 was "
            f"{str(before.get('sha256'))[:16]}... and is {digest[:16]}...); if its authors published another and you "
            f"trust it, take {place} out of {_record()}"
        )
    with atomic_path(_record()) as temporary:
        entry = {"sha256": digest, "revision": revision, **facts}
        temporary.write_text(json_text({**known, place: entry}), encoding="utf-8")
    if not before:
        of = f" of revision {revision}" if revision else ""
        print(f"{name}: SHA-256 of the weights{of}, to be the same from now on: {digest}", file=sys.stderr)


def _record() -> Path:
    return cache_folder() / "weights" / KNOWN


def _known() -> dict[str, dict[str, Any]]:
    """What is recorded of each file, by where it is published; nothing where the record cannot be read."""
    try:
        known = json.loads(_record().read_text(encoding="utf-8"))
        return {str(place): dict(entry) for place, entry in known.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def fetch_url(url: str, size: int | None = None, sha256: str = "") -> Path:
    """The path of a file on this machine, downloaded on first use with a progress bar on a terminal.

    Args:
        size: in bytes, which the file must have; None for whatever the server announces.
        sha256: how its SHA-256 must begin, in hexadecimal digits.

    Raises: OSError if it cannot be reached; CheckpointError if it has another size or hash.
    """
    from urllib.request import urlopen

    from rich.progress import Progress

    address = urlsplit(url)
    path = cache_folder() / "weights" / address.netloc / address.path.lstrip("/")
    if path.is_file():
        return path
    digest = hashlib.sha256()
    with urlopen(url, timeout=PATIENCE) as answer, atomic_path(path) as temporary:
        announced = int(answer.headers.get("Content-Length") or 0) or size
        with Progress(disable=not sys.stderr.isatty(), transient=True) as progress, open(temporary, "wb") as file:
            bar = progress.add_task(path.name, total=announced)
            while block := answer.read(BLOCK):
                file.write(block)
                digest.update(block)
                progress.advance(bar, len(block))
        found = temporary.stat().st_size
        if found != (size or announced or found):
            raise CheckpointError(f"{url}: {found} bytes came instead of {size or announced}; try again")
        if not digest.hexdigest().startswith(sha256):
            raise CheckpointError(f"{url}: what came has not the SHA-256 that begins with {sha256}; try again")
    return path


def _fetch(weights: PublishedWeights, revision: str) -> tuple[Path, str]:
    """The file, and the revision that it is of; an address has none but what stands in it."""
    if not weights.repository:
        return fetch_url(weights.url, weights.size, weights.sha256), ""
    from medssm.checkpoints.hugging_face import fetch_file  # its client takes half a second to import

    return fetch_file(weights.repository, weights.filename, revision)


def _from_where(weights: PublishedWeights, revision: str) -> str:
    if weights.repository:
        of = f" (revision {revision})" if revision else ""
        return f"{weights.filename} from huggingface.co/{weights.repository}{of}"
    return weights.url
