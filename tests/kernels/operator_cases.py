"""One small call of every operator, for the tests of what all of them promise; imported by programs beside it too."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medssm.kernels import (
    causal_conv1d,
    conv3d,
    conv_transpose3d,
    instance_norm,
    nd_selective_scan,
    operators,
    selective_scan,
    state_fusion,
    state_scan,
    wavefront_scan,
)

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A call of one operator.

    Attributes:
        operator: its public name.
        shapes: argument -> shape of a float32 tensor.
        call: the operator, its other arguments given but for the backend.
    """

    operator: str
    shapes: dict[str, tuple[int, ...]]
    call: Callable[..., Tensor]

    @property
    def backends(self) -> list[str]:
        """Those that can run on this machine's CPU."""
        known = operators()[self.operator]
        return [name for name in known.modules if known.backend(name).unavailable(CPU) is None]

    @property
    def equation(self) -> str:
        """The backend that the others are held to."""
        return list(operators()[self.operator].modules)[-1]

    @property
    def has_gradient(self) -> bool:
        """Whether every backend computes gradients; else training takes torch's own operators."""
        return self.equation == "reference"

    def tensors(self) -> dict[str, Tensor]:
        """The same arguments every time: normal, but for A, which is negative."""
        generator = torch.Generator(device="cpu").manual_seed(0)
        found = {}
        for name, shape in self.shapes.items():
            x = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
            found[name] = -x.abs() if name.startswith("A") else x
        return found

    def run(self, tensors: dict[str, Tensor], backend: str | None = None) -> Tensor:
        return self.call(**tensors, backend=backend)


def _with(operator: Callable[..., Tensor], **settings: Any) -> Callable[..., Tensor]:
    return lambda **tensors: operator(**tensors, **settings)


_TOKENS, _GATED = (1, 18, 70), {"D": (18,), "z": (1, 18, 70), "dt_bias": (18,)}
_SCAN = {"u": _TOKENS, "dt": _TOKENS, "A": (18, 5), "B": (1, 2, 5, 70), "C": (1, 2, 5, 70), **_GATED}
_CELLS, _PARAMETERS, _COEFFICIENTS = (1, 18, 54), (18, 5), (1, 5, 54)
_WAVEFRONT = {
    **dict.fromkeys(("x", "dt_top", "dt_left"), _CELLS),
    **dict.fromkeys(("A_top", "A_left"), _PARAMETERS),
    **dict.fromkeys(("B_top", "B_left", "C"), _COEFFICIENTS),
    **dict.fromkeys(("D", "dt_bias_top", "dt_bias_left"), (18,)),
}
_FUSION = {"h": (1, 18, 63), "kernels": (2, 18, 3, 3), "alpha": (2,)}
_BIASED = {"weight": (5, 4, 3, 3, 3), "bias": (5,)}
_GRID = (1, 3, 5, 6, 7)
_VISIT = {"shape": (5, 14), "axes": (1, 0), "reverse": True}

CASES = {
    "selective_scan": Case("selective_scan", _SCAN, _with(selective_scan, dt_softplus=True)),
    "nd_selective_scan": Case("selective_scan", _SCAN, _with(nd_selective_scan, dt_softplus=True, **_VISIT)),
    "state_scan": Case(
        "state_scan",
        {"u": _TOKENS, "dt": _TOKENS, "A": (18, 2), "B": (1, 2, 70), "dt_bias": (18,)},
        _with(state_scan, dt_softplus=True),
    ),
    "wavefront_scan": Case("wavefront_scan", _WAVEFRONT, _with(wavefront_scan, dt_softplus=True, shape=(9, 6))),
    "state_fusion": Case("state_fusion", _FUSION, _with(state_fusion, shape=(9, 7), dilations=(1, 3))),
    "causal_conv1d": Case(
        "causal_conv1d",
        {"x": _TOKENS, "weight": (18, 4), "bias": (18,)},
        _with(causal_conv1d, activation="silu", **_VISIT),
    ),
    "conv3d in small tiles": Case("conv3d", {"x": (1, 4, 7, 8, 9), **_BIASED}, conv3d),
    "conv3d in large tiles": Case("conv3d", {"x": (1, 4, 13, 14, 15), **_BIASED}, conv3d),
    "conv3d of few channels": Case("conv3d", {"x": (1, 2, 5, 6, 7), "weight": (5, 2, 3, 3, 3), "bias": (5,)}, conv3d),
    "conv3d of 1": Case("conv3d", {"x": _GRID, "weight": (5, 3, 1, 1, 1), "bias": (5,)}, conv3d),
    "conv_transpose3d": Case(
        "conv_transpose3d", {"x": _GRID, "weight": (3, 5, 2, 2, 2), "bias": (5,)}, conv_transpose3d
    ),
    "instance_norm": Case(
        "instance_norm", {"x": _GRID, "residual": _GRID}, _with(instance_norm, negative_slope=0.01, eps=1e-3)
    ),
}
