import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from medssm.data.images.reading import ImageFacts, image_facts, opened_image, read_image
from medssm.errors import DataError

WIDTH, HEIGHT = 24, 16


def ramp() -> np.ndarray:
    """(H, W) uint8 that rises from left to right, so that a turn or a wrong range shows."""
    return np.tile(np.linspace(0, 255, WIDTH).round().astype(np.uint8), (HEIGHT, 1))


def pixels(path: Path) -> np.ndarray:
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1"])
def test_every_kind_of_pixel_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "image.png"
    grey = np.where(ramp() > 127, 255, 0).astype(np.uint8)
    Image.fromarray(grey).convert(mode).save(path)
    np.testing.assert_array_equal(pixels(path), np.stack([grey] * 3, -1))


@pytest.mark.parametrize("name", ["image.png", "image.tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    wide = ramp().astype(np.uint16) * 256 + 200
    Image.fromarray(wide).save(tmp_path / name)
    np.testing.assert_array_equal(pixels(tmp_path / name)[..., 1], ramp())


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "print.jpg"
    Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0)).save(path, quality=95)
    assert image_facts(path).mode == "CMYK"
    np.testing.assert_allclose(pixels(path)[0, 0].astype(int), (255, 0, 0), atol=4)


def test_transparent_parts_show_white(tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    colours = np.zeros((2, 2, 4), np.uint8)
    colours[0, 0] = (10, 20, 30, 255)
    Image.fromarray(colours).save(path)
    expected = np.full((2, 2, 3), 255, np.uint8)
    expected[0, 0] = (10, 20, 30)
    np.testing.assert_array_equal(pixels(path), expected)


# How each EXIF orientation stores an upright image: what the decoder gives for it.
STORED_AS = {1: lambda a: a, 3: lambda a: np.rot90(a, 2), 6: lambda a: np.rot90(a, 1), 8: lambda a: np.rot90(a, 3)}


@pytest.mark.parametrize("orientation", STORED_AS)
def test_the_cameras_rotation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED_AS[orientation](ramp()))).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(pixels(tmp_path / "photo.png")[..., 0], ramp())


def test_damaged_exif_does_no_harm_and_is_not_spoken_of(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(ramp()).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0")
    code = f"from medssm.data.images.reading import read_image; print(read_image({str(path)!r}).size)"
    result = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == (f"{(WIDTH, HEIGHT)}\n", "")


def broken_files(folder: Path) -> dict[str, Path]:
    whole = folder / "whole.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(whole)
    contents = {
        "cut": whole.read_bytes()[: whole.stat().st_size // 2],
        "empty": b"",
        "page": b"\n<!DOCTYPE html><title>404</title>",
        "text": b"n01440764 0\n",
    }
    for name, content in contents.items():
        (folder / f"{name}.jpg").write_bytes(content)
    Image.fromarray(noise.astype(np.float32)[..., 0]).save(folder / "fraction.tif")
    return {name: folder / f"{name}.jpg" for name in contents} | {"fraction": folder / "fraction.tif"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut", r"cannot be read as an image \(image file is truncated"),
        ("empty", "is empty; get the file again"),
        ("page", "is a web page"),
        ("text", "holds no image"),
        ("fraction", "fractions of unknown range"),
    ],
)
def test_a_broken_file_gets_its_sentence(tmp_path: Path, name: str, message: str) -> None:
    path = broken_files(tmp_path)[name]
    with pytest.raises(DataError, match=message) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_missing_file_and_a_folder_get_theirs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(DataError, match="is a folder"):
        read_image(tmp_path)


def test_facts_tell_what_the_content_is_and_find_a_cut(tmp_path: Path) -> None:
    Image.fromarray(ramp()).save(tmp_path / "grey.png")
    (tmp_path / "grey.png").rename(tmp_path / "named.jpg")
    assert image_facts(tmp_path / "named.jpg") == ImageFacts("PNG", "L", (WIDTH, HEIGHT))
    with pytest.raises(DataError, match="truncated"):
        image_facts(broken_files(tmp_path)["cut"])


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_fewer_bits_in_sixteen_are_as_bright_as_their_camera_had_them(tmp_path: Path, bits: int) -> None:
    wide = ramp().astype(np.uint16) << (bits - 8)
    Image.fromarray(wide).save(tmp_path / "image.png")
    np.testing.assert_array_equal(pixels(tmp_path / "image.png")[..., 1], ramp())


def test_an_image_of_more_than_179_megapixels_is_no_alarm(tmp_path: Path) -> None:
    Image.new("1", (14_000, 1)).save(tmp_path / "plan.png")
    content = (tmp_path / "plan.png").read_bytes()
    content = content[:20] + (14_000).to_bytes(4, "big") + content[24:] + bytes(20_000)
    (tmp_path / "plan.png").write_bytes(_with_new_checksums(content))
    with opened_image(tmp_path / "plan.png") as image:
        assert image.size == (14_000, 14_000)


@pytest.mark.parametrize(("name", "order"), [("a.jpg", "big"), ("a.png", "big"), ("a.gif", "little")])
def test_an_image_that_claims_more_pixels_than_its_bytes_can_hold_is_refused(
    tmp_path: Path, name: str, order: Literal["big", "little"]
) -> None:
    path = tmp_path / name
    Image.new("L", (1234, 1234)).save(path)
    side, claim = ((length).to_bytes(2, order) for length in (1234, 13_000))
    content = path.read_bytes().replace(side, claim)
    path.write_bytes(_with_new_checksums(content) if name == "a.png" else content)
    with pytest.raises(DataError, match=r"claims 13000 x 13000 pixels in [\d,]+ bytes, as no photograph does"):
        read_image(path)


def _with_new_checksums(png: bytes) -> bytes:
    header = png[12:29]
    return png[:29] + zlib.crc32(header).to_bytes(4, "big") + png[33:]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="is no file with an end"):
        read_image(tmp_path / "pipe.jpg")


def test_a_pointer_of_git_lfs_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    with pytest.raises(DataError, match="pointer of Git LFS"):
        read_image(tmp_path / "a.jpg")
