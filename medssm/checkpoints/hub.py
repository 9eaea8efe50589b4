"""Published weights, fetched once and kept in a cache: huggingface_hub's, or ours for plain addresses."""

import hashlib
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

from medssm.errors import CheckpointError, UsageError
from medssm.files import atomic_path, cache_folder, file_sha256, json_text
from medssm.models import model_info
from medssm.models.info import PublishedWeights

BLOCK = 1 << 20  # bytes read at a time
PATIENCE = 30  # seconds without an answer
KNOWN = "known.json"  # in the cache: the SHA-256 of every file that was fetched

_GIVE = "give the file with --weights FILE, to a training with --set model.pretrained=FILE"


def fetch_published(name: str, weights: PublishedWeights | None = None) -> Path:
    """The path of a model's published weights on this machine, downloaded on first use with a progress bar.

    Their licence is printed to the standard error.

    Args:
        weights: of a head on the model; None for those of the model itself.

    Raises: UsageError if nothing was published for the model, or only where a person can fetch it; CheckpointError if
        the file cannot be reached or has another size.
    """
    weights = weights or model_info(name).weights
    if weights is None:
        raise UsageError(f"{name}: nothing was published for it; train it, or give weights of your own")
    if not weights.repository and not weights.url:
        raise UsageError(
            f"{name}: its weights are published where only a browser can fetch them ({weights.whereabouts}); "
            f"download them and {_GIVE}"
        )
    try:
        path = _fetch(weights)
    except OSError as error:  # the hub client's own errors are among them
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
        raise CheckpointError(
            f"{name}: its weights are not in the cache and could not be fetched ({reason}); download "
            f"{_from_where(weights)} elsewhere and {_GIVE}"
        ) from error
    print(f"{name}: licence of the weights: {weights.licence}", file=sys.stderr)
    _trust_on_first_use(name, path)
    return path


def _trust_on_first_use(name: str, path: Path) -> None:
    """Records the SHA-256 of a file when it is first fetched, and tells it; later it must be the same.

    The authors publish none, so there is nothing else to compare with.

    Raises: CheckpointError if the file is another one than was fetched first.
    """
    record = cache_folder() / "weights" / KNOWN
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    facts = {"size": path.stat().st_size, "changed": path.stat().st_mtime_ns}
    before = known.get(name, {})
    if facts == {key: before.get(key) for key in facts}:
        return
    digest = file_sha256(path)
    if before and before["sha256"] != digest:
        raise CheckpointError(
            f"{name}: {path} is not the file that was fetched first (its SHA-256 was {before['sha256'][:16]}... and is "
            f"{digest[:16]}...); if its authors published another and you trust it, take {name} out of {record}"
        )
    with atomic_path(record) as temporary:
        temporary.write_text(json_text({**known, name: {"sha256": digest, **facts}}), encoding="utf-8")
    if not before:
        print(f"{name}: SHA-256 of the weights, to be the same from now on: {digest}", file=sys.stderr)


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


def _fetch(weights: PublishedWeights) -> Path:
    if not weights.repository:
        return fetch_url(weights.url, weights.size)
    from medssm.checkpoints.hugging_face import fetch_file  # its client takes half a second to import

    return fetch_file(weights.repository, weights.filename)


def _from_where(weights: PublishedWeights) -> str:
    if weights.repository:
        return f"{weights.filename} from huggingface.co/{weights.repository}"
    return weights.url
