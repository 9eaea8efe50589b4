"""MONAI's networks for volumes with the arguments that fit a window, where a recipe leaves them out.

What is derived, channels, classes and dimensions, is no argument, nor what makes a network give more than its logits.
A network is MONAI's own module, so that its entries are those of its authors.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.overrides import TorchFunctionMode

from medssm.errors import UsageError, one_line, reason_of
from medssm.models.arguments import Arguments, Check, plain
from medssm.models.catalogue.monai_networks import PREFIX
from medssm.models.info import Options
from medssm.models.pooling import unet_levels
from medssm.models.variant import Variant

MOST_PARTS = 3000  # SwinUNETR, the largest of them, has 270

_DERIVED = {"spatial_dims", "in_channels", "out_channels"}
_REFUSED = {"deep_supervision", "deep_supr_num", "save_attn", "norm_layer"}
# What MONAI raises on arguments that do not go together.
_ITS_ERRORS = (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError, AttributeError, AssertionError)

Window = tuple[int, ...]
Voxel = tuple[float, ...]


@dataclass(frozen=True)
class Baseline:
    """A network of MONAI.

    Attributes:
        defaults: arguments for a window, the sides of its voxels in mm and the arguments that are given.
        multiple: what sides of a window must be multiples of, of all arguments.
        dropout: what its rate of dropout is called; "" if it has none.
        package: that MONAI makes it of and does not require; "" for none.
    """

    defaults: Callable[[Window, Voxel, Arguments], dict[str, Any]]
    multiple: Callable[[Arguments], Window]
    dropout: str = ""
    package: str = ""


def _unet(window: Window, voxel: Voxel, given: Arguments) -> dict[str, Any]:
    """Widths and depth of MONAI's tutorials, or as many levels as there are widths, with nnU-Net's strides."""
    widths = given.get("channels")
    levels = unet_levels(window, voxel, most=len(widths) if isinstance(widths, tuple) else 5)
    channels = tuple(16 * 2**level for level in range(len(levels)))
    return {"channels": channels, "strides": tuple(level.stride for level in levels[1:])}


def _residual_unet(window: Window, voxel: Voxel, given: Arguments) -> dict[str, Any]:
    return {**_unet(window, voxel, given), "num_res_units": 2}


def _dyn_unet(window: Window, voxel: Voxel, given: Arguments) -> dict[str, Any]:
    """nnU-Net's widths: 32, twice as many at each level, up to 320."""
    levels = unet_levels(window, voxel, most=6)
    strides = tuple(level.stride for level in levels)
    return {
        "kernel_size": tuple(level.kernel for level in levels),
        "strides": strides,
        "upsample_kernel_size": strides[1:],
        "filters": tuple(min(32 * 2**level, 320) for level in range(len(levels))),
    }


def _seg_res_net(window: Window, voxel: Voxel, given: Arguments) -> dict[str, Any]:
    """Fewer of the four levels for a window that does not divide so often, as every axis is halved at each."""
    levels = min(4, *((side & -side).bit_length() for side in window))
    return {"init_filters": 16, "blocks_down": (1, 2, 2, 4)[:levels], "blocks_up": (1,) * (levels - 1)}


def _none(window: Window, voxel: Voxel, given: Arguments) -> dict[str, Any]:
    return {}


def _laid_out(window: Window, voxel: Voxel, given: Arguments) -> dict[str, Any]:
    return {"img_size": window}


def _of_strides(arguments: Arguments) -> Window:
    strides = [(n,) * 3 if isinstance(n, int) else n for n in arguments["strides"]]
    return tuple(prod(along) for along in zip(*strides, strict=True))


def _fixed(side: int) -> Callable[[Arguments], Window]:
    return lambda arguments: (side,) * 3


def _of_blocks(extra: int) -> Callable[[Arguments], Window]:
    return lambda arguments: (2 ** (len(arguments.get("blocks_down", (2, 2, 2, 2))) - extra),) * 3


_BASELINES = {
    "UNet": Baseline(_residual_unet, _of_strides, "dropout"),
    "BasicUNet": Baseline(_none, _fixed(16), "dropout"),
    "AttentionUnet": Baseline(_unet, _of_strides, "dropout"),
    "DynUNet": Baseline(_dyn_unet, _of_strides, "dropout"),
    "SegResNet": Baseline(_seg_res_net, _of_blocks(1), "dropout_prob"),
    "MedNeXt": Baseline(_none, _of_blocks(0)),
    "UNETR": Baseline(_laid_out, _fixed(16), "dropout_rate", package="einops"),
    "SwinUNETR": Baseline(_none, _fixed(32), "drop_rate", package="einops"),
}


def monai_variant(name: str) -> Variant:
    """The network of one of `MONAI_MODELS`, by MONAI's own name."""
    return Variant(partial(_build, name), arguments=_accepted(name), plan=partial(_plan, name))


def _class(name: str) -> Any:
    from monai.networks import nets

    assert name in _BASELINES
    return getattr(nets, name)


def _accepted(name: str) -> dict[str, Check]:
    taken = inspect.signature(_class(name)).parameters
    return {argument: plain for argument in taken if argument not in _DERIVED | _REFUSED}


def _build(name: str, options: Options) -> nn.Module:
    """The network. Raises: UsageError if MONAI cannot make one of the arguments, or it has not what is asked for."""
    baseline = _BASELINES[name]
    if options.features_only or options.drop_path_rate:
        raise UsageError(f"{PREFIX}{name}: has neither features_only nor drop_path_rate here; leave them out")
    if options.dropout_rate and not baseline.dropout:
        raise UsageError(f"{PREFIX}{name}: has no dropout, but its rate is to be {options.dropout_rate}; leave it out")
    arguments = _completed(baseline, options.arguments, options.input_size or (96, 96, 96), (1.0, 1.0, 1.0))
    if options.dropout_rate is not None and baseline.dropout:
        arguments.setdefault(baseline.dropout, options.dropout_rate)
    return _made(name, options.in_channels, options.num_classes, arguments)


def _completed(baseline: Baseline, given: Arguments, window: Window, voxel: Voxel) -> dict[str, Any]:
    return {**baseline.defaults(window, voxel, given), **given}


def _made(name: str, in_channels: int, num_classes: int, arguments: Arguments) -> nn.Module:
    package = _BASELINES[name].package
    if package and find_spec(package) is None:
        raise UsageError(
            f"{PREFIX}{name}: MONAI needs {package} for it, which is not installed; pip install '.[monai]' in medssm's "
            "source installs it"
        )
    derived = {"spatial_dims": 3, "in_channels": in_channels, "out_channels": num_classes}
    with _ScalarsOnCpu(), _explained(name, arguments), _of_bounded_size():
        return _class(name)(**derived, **arguments)


@contextmanager
def _explained(name: str, arguments: Arguments) -> Iterator[None]:
    """Within it arguments that do not go together are a UsageError."""
    try:
        yield
    except _ITS_ERRORS as error:
        given = one_line(", ".join(f"{key}={value}" for key, value in arguments.items()), 160)
        raise UsageError(
            f"{PREFIX}{name}: MONAI makes no network with {given} ({reason_of(error, 120)}); correct model.arguments"
        ) from error


@contextmanager
def _of_bounded_size() -> Iterator[None]:
    """Within it a network of more than MOST_PARTS parts is given up, as a header may ask for any number of blocks."""
    count = 0

    def one_more(*_: Any) -> None:
        nonlocal count
        count += 1
        if count > MOST_PARTS:
            raise ValueError(f"of more than {MOST_PARTS} parts")

    hook = register_module_module_registration_hook(one_more)
    try:
        yield
    finally:
        hook.remove()


class _ScalarsOnCpu(TorchFunctionMode):
    """Within it rates of stochastic depth, which SwinUNETR takes out of a tensor, have values also on "meta"."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return func(*args, **(kwargs or {}), **({"device": "cpu"} if func is torch.linspace else {}))


def _plan(name: str, arguments: Arguments, window: Window, voxel: Voxel) -> dict[str, Any]:
    """All arguments for a window: those given, and the defaults of the others, so that the weights keep them.

    Raises: UsageError if MONAI makes no network of them, or the window does not divide.
    """
    baseline = _BASELINES[name]
    window = tuple(window)
    complete = _completed(baseline, arguments, window, voxel)
    with torch.device("meta"):
        _made(name, 1, 2, complete)
    with _explained(name, complete):
        multiple = baseline.multiple(complete)
        rest = [n % m for n, m in zip(window, multiple, strict=True)]
    if any(rest) or window == multiple:  # of a single voxel at the coarsest level there is no deviation
        raise UsageError(
            f"{PREFIX}{name}: needs windows whose sides are multiples of {_by(multiple)}, one of them larger, and they "
            f"are {_by(window)}; set augmentation.crops.size, or what halves them in model.arguments"
        )
    return complete


def _by(sides: Window) -> str:
    return "x".join(map(str, sides))
