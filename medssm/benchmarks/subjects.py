"""Networks to be measured, ours and timm's, by name."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import timm
from torch import nn

from medssm.errors import UsageError
from medssm.models import fresh_model, model_info
from medssm.models.info import ImageInput

TIMM = ("timm:", "timm/")


@dataclass(frozen=True)
class Subject:
    """A network that is not built yet.

    Attributes:
        shape: of one input: channels, then pixels, voxels, or frames and pixels.
    """

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]


def find_subject(name: str, size: tuple[int, int] | None = None) -> Subject:
    """The network of a name: one of ours, or one of timm's with "timm:" or "timm/" before its own.

    Args:
        size: of images, (H, W) in pixels; None for the network's own.

    Raises: UsageError on an unknown name, or a size for a network that takes no images.
    """
    if name.startswith(TIMM):
        return _of_timm(name, name[len(TIMM[0]) :], size)
    info = model_info(name)
    if size is None:
        return Subject(info.name, partial(fresh_model, info.name), (info.in_channels, *info.input_size))
    if not isinstance(info.input, ImageInput):
        raise UsageError(f"{name}: takes no images, so its size cannot be set; leave out --size")
    return Subject(info.name, partial(fresh_model, info.name, input_size=size), (info.in_channels, *size))


def _of_timm(name: str, own_name: str, size: tuple[int, int] | None) -> Subject:
    if not timm.is_model(own_name):
        nearest = difflib.get_close_matches(own_name, timm.list_models(), n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else "timm.list_models() lists them"
        raise UsageError(f"timm has no model {own_name!r}; {hint}")
    settings = timm.get_pretrained_cfg(own_name)
    channels, *published = (3, 224, 224) if settings is None else settings.input_size
    build = partial(timm.create_model, own_name)
    if size and settings is not None and settings.fixed_input_size:
        build = partial(timm.create_model, own_name, img_size=size)
    return Subject(name, build, (channels, *(size or published)))
