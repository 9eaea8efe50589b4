"""Reading photographs."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from medssm.errors import DataError

# What Pillow raises for files that are damaged or no images.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)

# Some of ImageNet's files carry such, and nothing but the rotation is read of it.
warnings.filterwarnings("ignore", message="Corrupt EXIF data", category=UserWarning, module=r"PIL\.")


@dataclass(frozen=True)
class ImageFacts:
    """What a file holds.

    Attributes:
        format: as Pillow calls it: "JPEG", "PNG".
        mode: of the pixels: "RGB", "L" for grey, "CMYK".
        size: (width, height) in pixels, as stored.
    """

    format: str
    mode: str
    size: tuple[int, int]


def read_image(path: str | Path, upright: bool = True) -> Image.Image:
    """The image in RGB with 8 bits per colour, upright.

    Grey, palette and CMYK images become RGB, 16 bits become 8, what is transparent shows white, and the rotation that a
    camera notes in EXIF is applied. Of an animation it is the first picture.

    Args:
        upright: False leaves the pixels as they are stored, for annotations that were drawn on those.

    Raises: DataError in one sentence if there is no image, or it is damaged or cut off.
    """
    with opened_image(path) as image:
        image.load()
        return _rgb(ImageOps.exif_transpose(image) if upright else image)


def image_facts(path: str | Path) -> ImageFacts:
    """What a file holds, after decoding all of it.

    Raises: DataError if there is no image, or it is damaged or cut off.
    """
    with opened_image(path) as image:
        facts = ImageFacts(image.format or "", image.mode, image.size)
        # A JPEG is decoded to an eighth: that reads every byte as well, in half the time (1.8 instead of 3.4 ms).
        image.draft("RGB", (1, 1))
        image.load()
        return facts


@contextmanager
def opened_image(path: str | Path) -> Iterator[Image.Image]:
    """The image as its file has it, not decoded yet.

    Raises: DataError in one sentence if there is none, or if what is done with it shows that it is damaged.
    """
    try:
        with Image.open(path) as image:
            yield image
    except _BROKEN as error:
        raise _explained(Path(path), error) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are fractions of unknown range")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), coloured)
    return image if image.mode == "RGB" else image.convert("RGB")


def _explained(path: Path, error: Exception) -> DataError:
    match error:
        case FileNotFoundError():
            return DataError(f"{path}: there is no such file; correct the path")
        case IsADirectoryError():
            return DataError(f"{path}: is a folder; name an image")
        case PermissionError():
            return DataError(f"{path}: no permission to read it; change that, or copy it")
        case UnidentifiedImageError():
            return DataError(f"{path}: {_no_image(path)}; get the file again")
    return DataError(f"{path}: cannot be read as an image ({error}); get the file again, or convert it")


def _no_image(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(64).lstrip()
    if not start:
        return "is empty"
    return "is a web page or other markup, no image" if start.startswith(b"<") else "holds no image"
