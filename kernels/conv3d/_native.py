"""The convolution by the native library: Winograd's method for 3x3x3 kernels, a matrix product for the rest."""

from collections.abc import Sequence

import torch
from torch import Tensor

from medssm.kernels import native
from medssm.kernels.native.kept_weights import pack_matrix, packed, padded
from medssm.kernels.native.packing import address, pack
from medssm.kernels.native.sources import dense_grids, describe
from medssm.kernels.prediction import reason_against_tensors

_POINTS = 64


def unavailable(device: torch.device) -> str | None:
    return "the native kernels run on the CPU only" if device.type != "cpu" else native.unavailable()


def unsupported(parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> str | None:
    return reason_against_tensors(*parts, weight, bias)


def forward(parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    parts = dense_grids(parts)
    batch, _, *grid = parts[0].shape
    outputs, channels, side, *_ = weight.shape
    taps = side**3
    winograd = taps == 27 and _transforms_pay(channels, outputs)
    weights = packed(weight, "winograd", _pack_winograd) if winograd else packed(weight, "direct", _pack_direct)
    sources = describe(parts)
    bias = None if bias is None else bias.contiguous()
    y = parts[0].new_empty(batch, outputs, *grid)
    fields = [address(y), address(sources), len(parts), address(weights), address(bias), batch, channels, outputs]
    if winograd:
        native.kernel("conv3d_winograd")(pack(*fields, *grid, torch.get_num_threads()))
    else:
        native.kernel("conv3d_direct")(pack(*fields, *grid, taps, torch.get_num_threads()))
    return y


def _transforms_pay(channels: int, outputs: int) -> bool:
    """Whether Winograd's method is faster than the definition.

    In vector operations for 48 tiles: products 64 * 3 against 216 * 3 per pair of channels, measured as 2300 for the
    transform of an input channel and 1000 for that of an output channel.
    """
    return 192 * channels * outputs + 2300 * channels + 1000 * outputs < 648 * channels * outputs


def _pack_winograd(weight: Tensor) -> Tensor:
    outputs, channels = weight.shape[:2]
    result = torch.empty(_POINTS * padded(outputs) * channels)
    arguments = pack(address(result), address(weight), outputs, channels, torch.get_num_threads())
    native.kernel("conv3d_winograd_pack")(arguments)
    return result


def _pack_direct(weight: Tensor) -> Tensor:
    outputs, depth = weight.shape[0], weight[0].numel()
    return pack_matrix(weight, outputs, depth, (depth, 1))
