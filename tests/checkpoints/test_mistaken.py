"""Files that are handed in as weights and are none."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from medssm.checkpoints.published import read_weights_file
from medssm.errors import LONGEST, CheckpointError


def written(write, *arguments) -> bytes:
    """What a function writes into the file that it is handed first."""
    buffer = io.BytesIO()
    write(buffer, *arguments)
    return buffer.getvalue()


def zipped(file) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("weights/model.bin", b"\0" * 8)


def tarred(file) -> None:
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.bin"))


KINDS = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n": "a pointer of Git LFS; `git lfs pull`",
    b"<!DOCTYPE html>\n<html><head><title>Not found</title>": "a web page",
    b"\xef\xbb\xbf\n <?xml version='1.0'?><Error/>": "a web page or other markup",
    b'{"architectures": ["Mamba"]}': "a JSON text",
    b'[[1, 2],{"a": 3}]': "a JSON text",
    written(np.save, np.zeros(3)): r"an array of numpy \(\.npy\)",
    written(np.savez, np.zeros(3)): r"an archive of numpy's \(\.npz\)",
    written(zipped): "a zip that PyTorch has not written",
    written(tarred): "an archive; unpack it",
    b"\x1f\x8b\x08\0": "an archive; unpack it",
    b"\x08\x0a\x12\x07pytorch\x1a\x032.1": "a network in ONNX",
    b"\x89HDF\r\n\x1a\n" + bytes(40): "HDF5",
    written(
        lambda file: torch.save({"w": torch.ones(2)}, file, _use_new_zipfile_serialization=False)
    ): "an older PyTorch file",
    b"model: mamband-s\nlr: 1e-4\n": "a plain text",
    b"\x00\x01\x02\x03\x04\x05\x06\x07\x08": r"something that begins with b'\\x00\\x01",
}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize(("content", "said"), KINDS.items(), ids=KINDS.values())
def test_a_file_that_is_no_weights_is_told_for_what_it_is(content: bytes, said: str, ending: str, tmp_path: Path):
    path = tmp_path / f"w{ending}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"neither safetensors nor a PyTorch file .* but {said}"):
        read_weights_file(path)


def test_a_header_whose_length_looks_like_a_pickle_is_safetensors(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    save_file({"w": torch.ones(2)}, path, metadata={"a": "x" * 200})
    padding = 0x280 - int.from_bytes(path.read_bytes()[:8], "little")
    save_file({"w": torch.ones(2)}, path, metadata={"a": "x" * (200 + padding)})
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert list(read_weights_file(path).state) == ["w"]


@pytest.mark.parametrize("name", ["w" * 5000, "w\x1b[2J\n"], ids=["long", "control"])
def test_names_of_tensors_are_shown_short_and_in_one_line(name: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({name: entry}).encode()
    Path("damaged.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    torch.save({name: torch.zeros(1).expand(10_000)}, "forged.pth")
    torch.save({name: 3}, "none.pth")
    for path in map(Path, ("damaged.safetensors", "forged.pth", "none.pth")):
        with pytest.raises(CheckpointError) as caught:
            read_weights_file(path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) <= LONGEST
