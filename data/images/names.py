"""Which files are images, by their names."""

import os
from pathlib import Path

# As torchvision's ImageFolder takes them, and GIF.
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif"))


def is_image_name(name: str) -> bool:
    """Whether a file's name has the ending of an image; macOS's `._` companions are none."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def name_stem(name: str) -> str:
    """A file's name without folders and without the ending of an image.

    >>> name_stem("val/ILSVRC2012_val_00000001.JPEG"), name_stem("ILSVRC2012_val_00000001")
    ('ILSVRC2012_val_00000001', 'ILSVRC2012_val_00000001')
    """
    name = name.rpartition("/")[2]
    return name.rpartition(".")[0] if is_image_name(name) else name


def image_names(folder: Path | str, prefix: str = "") -> list[str]:
    """The images in a folder and in folders below it, as sorted paths relative to it.

    An image is known by its name: no file is opened or asked about, which over a network would take hours.
    """
    names, below = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_image_name(entry.name):
                names.append(prefix + entry.name)
            elif not entry.name.startswith(".") and entry.is_dir():
                below.append(entry.name)
    for name in below:
        names += image_names(os.path.join(folder, name), f"{prefix}{name}/")
    return sorted(names)
