"""Words on pictures: one font everywhere, on a background of its own so that it is read on any picture."""

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medssm.viewing.palette import WHITE, Colour, readable_on

# Has Latin, Greek and Cyrillic letters, and comes with matplotlib.
_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
_SMALLEST, _LARGEST = 12, 40
# A picture whose longer side is less is enlarged by a whole number, so that words fit.
_SMALL = 320  # pixels


def letter_size(width: int, height: int) -> int:
    """In pixels, of letters for a picture of this size."""
    return int(np.clip(round(min(width, height) / 32), _SMALLEST, _LARGEST))


def enlargement(height: int, width: int) -> int:
    """How many times a tiny picture is enlarged before words are written on it."""
    return -(-_SMALL // max(height, width))


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    """A picture (H, W, ...) of which every pixel becomes `factor` by `factor`."""
    return np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)


def tag_size(text: str, size: int) -> tuple[int, int]:
    """(width, height) in pixels of what `draw_tag` draws."""
    margin = _margin(size)
    ascent, descent = _font(size).getmetrics()
    return round(_font(size).getlength(text)) + 2 * margin, ascent + descent + margin


def draw_tag(draw: ImageDraw.ImageDraw, left: int, top: int, text: str, size: int, colour: Colour) -> None:
    """Black or white letters on a rectangle of a colour, from its upper left corner on."""
    width, height = tag_size(text, size)
    margin = _margin(size)
    draw.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
    draw.text((left + margin, top + margin // 2), text, font=_font(size), fill=readable_on(colour))


def side_by_side(panels: dict[str, np.ndarray], longest: int = 640) -> np.ndarray:
    """Pictures in a row, each under its title, (H, W, 3) uint8.

    Args:
        panels: title -> (h, w, 3) uint8.
        longest: pixels of a panel's longer side; what is larger is made smaller.
    """
    pictures = {title: _at_most(Image.fromarray(panel), longest) for title, panel in panels.items()}
    size = max(letter_size(*picture.size) for picture in pictures.values())
    gap = size // 2
    widths = [max(picture.width, tag_size(title, size)[0]) for title, picture in pictures.items()]
    heading = tag_size("", size)[1]
    tallest = max(picture.height for picture in pictures.values())
    canvas = Image.new("RGB", (sum(widths) + gap * (len(widths) - 1), heading + tallest), "white")
    draw, left = ImageDraw.Draw(canvas), 0
    for (title, picture), width in zip(pictures.items(), widths, strict=True):
        draw_tag(draw, left, 0, title, size, WHITE)
        canvas.paste(picture, (left, heading))
        left += width + gap
    return np.array(canvas)


def _at_most(picture: Image.Image, longest: int) -> Image.Image:
    share = longest / max(picture.size)
    if share >= 1:
        return picture
    width, height = (max(round(side * share), 1) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX)


def _margin(size: int) -> int:
    return max(size // 4, 2)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONT), size)
