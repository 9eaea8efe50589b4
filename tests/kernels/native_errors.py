"""Prints, as JSON, the instruction set in use and each kernel's largest error, relative to float64's largest entry.

A program of its own, because the instruction set is chosen once in a process.
"""

import json

import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.kernels import (
    causal_conv1d,
    conv3d,
    conv_transpose3d,
    instance_norm,
    native,
    nd_selective_scan,
    state_fusion,
    state_scan,
    wavefront_scan,
)

GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=GENERATOR)


def error(actual: Tensor, expected: Tensor) -> float:
    return ((actual.double() - expected).abs().max() / expected.abs().max()).item()


def scan_errors() -> dict[str, float]:
    """Of an order of a grid, with one group and with groups narrower than a vector; 37 and 9 channels fill none."""
    found = {}
    for dim, state, groups in ((37, 16, 1), (9, 5, 3)):
        B, C = (normal(2, groups, state, 60) for _ in range(2))
        u, dt, z = (normal(2, 60, dim).transpose(1, 2) for _ in range(3))
        given = [u, dt, -normal(dim, state).abs(), B, C, normal(dim), z, normal(dim)]
        results = {}
        for dtype, backend in ((torch.float32, "native"), (torch.float64, "reference")):
            inputs = [x.to(dtype).requires_grad_() for x in given]
            visit = {"shape": (3, 4, 5), "axes": (1, 2, 0), "reverse": True, "backend": backend}
            y = nd_selective_scan(*inputs, dt_softplus=True, **visit)  # type: ignore[arg-type]
            results[backend] = [y.detach(), *torch.autograd.grad(y.square().sum(), inputs)]
        names = ("y", "du", "ddt", "dA", "dB", "dC", "dD", "dz", "ddt_bias")
        for name, actual, expected in zip(names, results["native"], results["reference"], strict=True):
            found[f"scan of {dim} channels, {name}"] = error(actual, expected)
    return found


def wavefront_errors() -> dict[str, float]:
    """Of a grid that is walked in several chunks of rows, cut into pieces, by channels that fill no vector."""
    tokens = [normal(1, 9 * 70, width).transpose(1, 2) for width in (37, 37, 37, 21, 21, 21)]
    A_top, A_left = (-normal(37, 21).abs() for _ in range(2))
    given = [*tokens[:3], A_top, A_left, *tokens[3:], normal(37), normal(37), normal(37)]
    results = {}
    for dtype, backend in ((torch.float32, "native"), (torch.float64, "reference")):
        inputs = [x.to(dtype).requires_grad_() for x in given]
        y = wavefront_scan(*inputs, dt_softplus=True, shape=(9, 70), reverse=True, backend=backend)  # type: ignore[arg-type]
        results[backend] = [y.detach(), *torch.autograd.grad(y.square().sum(), inputs)]
    names = ("y", "dx", "ddt_top", "ddt_left", "dA_top", "dA_left", "dB_top", "dB_left", "dC", "dD", "top", "left")
    pairs = zip(names, results["native"], results["reference"], strict=True)
    return {f"scan of a grid, {name}": error(actual, expected) for name, actual, expected in pairs}


def state_errors() -> dict[str, float]:
    """Of states and their fusion, by channels that fill no vector, on a grid narrower than its kernels."""
    u, dt, B = (normal(2, 66, width).transpose(1, 2) for width in (85, 85, 2))
    A, bias, kernels, alpha = -normal(85, 2).abs(), normal(85), normal(3, 85, 3, 3), normal(3)
    results = {}
    for dtype, backend in ((torch.float32, "native"), (torch.float64, "reference")):
        inputs = [x.to(dtype).requires_grad_() for x in (u, dt, A, B, bias, kernels, alpha)]
        h = state_scan(*inputs[:5], dt_softplus=True, backend=backend)
        fused = state_fusion(h[:, :, 1], *inputs[5:], shape=(6, 11), backend=backend)
        results[backend] = [fused.detach(), *torch.autograd.grad(fused.square().sum() + h.sum(), inputs)]
    names = ("fused", "du", "ddt", "dA", "dB", "ddt_bias", "dkernels", "dalpha")
    pairs = zip(names, results["native"], results["reference"], strict=True)
    return {f"states, {name}": error(actual, expected) for name, actual, expected in pairs}


def dense_errors() -> dict[str, float]:
    """Of the kernels of the decoder, each on a grid that fills no tile."""
    x, wide = normal(1, 7, 13, 15, 17), normal(5, 7, 3, 3, 3)
    point, up = normal(5, 7, 1, 1, 1), normal(7, 5, 2, 2, 2)
    tokens, taps = normal(2, 19, 30), normal(19, 4)
    expected_norm = F.leaky_relu(F.instance_norm(x.double()), 0.01)
    with torch.inference_mode():
        return {
            "conv3d of 3": error(conv3d(x, wide, backend="native"), F.conv3d(x.double(), wide.double(), padding=1)),
            "conv3d of 1": error(conv3d(x, point, backend="native"), F.conv3d(x.double(), point.double())),
            "conv_transpose3d": error(
                conv_transpose3d(x, up, backend="native"), F.conv_transpose3d(x.double(), up.double(), stride=2)
            ),
            "instance_norm": error(instance_norm(x, negative_slope=0.01, backend="native"), expected_norm),
            "causal_conv1d": error(
                causal_conv1d(tokens, taps, backend="native"),
                F.conv1d(F.pad(tokens.double(), (3, 0)), taps.double()[:, None], groups=19),
            ),
        }


if __name__ == "__main__":
    errors = {**scan_errors(), **wavefront_errors(), **state_errors(), **dense_errors()}
    print(json.dumps({"isa": native.selected_isa(), "errors": errors}))
