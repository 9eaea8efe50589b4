"""Reading photographs."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from medssm.errors import DataError

# What Pillow raises for files that are damaged or no images.
BROKEN_IMAGE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def read_image(path: str | Path) -> Image.Image:
    """The image in RGB with 8 bits per colour, upright.

    Grey, palette and CMYK images become RGB, 16 bits become 8, what is transparent shows white, and the rotation that a
    camera notes in EXIF is applied.

    Raises: DataError in one sentence if there is no image, or it is damaged or cut off.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; correct the path") from error
    except BROKEN_IMAGE as error:
        raise DataError(f"{path}: cannot be read as an image ({error}); get the file again") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
