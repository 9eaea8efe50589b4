"""What people hand in as weights and is none: told by a file's first bytes, in words that say what to do."""

import re
import zipfile
from pathlib import Path

_ENOUGH = 512  # first bytes by which all of these are told
_SAFETENSORS = re.compile(rb"(?s).{7}\0\{")  # the length of a header, and the header

_KINDS = tuple(
    (re.compile(first), said)
    for first, said in (
        (rb"version https://git-lfs", "a pointer of Git LFS; `git lfs pull` fetches the file itself"),
        (rb"(\xef\xbb\xbf)?\s*<", "a web page or other markup; download the file and not the page that shows it"),
        (rb"(\xef\xbb\xbf)?\s*[{\[]", "a JSON text; give the weights that belong to it"),
        (rb"\x93NUMPY", "an array of numpy (.npy); save a state dict with torch.save"),
        (rb"\x89HDF", "HDF5, as Keras writes weights; save them as a state dict with torch.save"),
        (rb"\x08[\x01-\x20][\x12\x1a\x32\x3a\x42]", "a network in ONNX; give the weights that it was exported from"),
        (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|(?s:.{257})ustar", "an archive; unpack it and give the file in it"),
        (rb"\x80[\x00-\x08]", "an older PyTorch file or another pickle; load and save it again with a newer PyTorch"),
        (rb"[\t\n\r -~]+\Z", "a plain text; give the weights that belong to it"),
    )
)


def mistaken_for_weights(path: Path) -> str:
    """What a file is, and what to do; "" if it may be safetensors or PyTorch's.

    Raises: OSError of the file system.
    """
    with open(path, "rb") as file:
        start = file.read(_ENOUGH)
    if start.startswith(b"PK"):
        return _foreign_archive(path)
    if _SAFETENSORS.match(start):
        return ""
    found = next((said for first, said in _KINDS if first.match(start)), "")
    if found or start[8:9] == b"{":
        return found
    return f"something that begins with {start[:8]!r}; give a .safetensors file or a state dict of torch.save"


def _foreign_archive(path: Path) -> str:
    """What a zip file is that PyTorch has not written; "" if it has, or if the zip is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return ""
    if any(name.endswith(".pkl") for name in names):
        return ""
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of numpy's (.npz); save a state dict with torch.save"
    return "a zip that PyTorch has not written; unpack it and give the weights in it"
