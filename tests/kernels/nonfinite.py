"""Prints, as JSON, the instruction set in use and how each call treats a NaN or an infinity beside its equation.

The middle entry of one argument in turn is NaN, infinite or minus infinite. A program of its own, because the
instruction set is chosen once in a process.
"""

import json
import sys

import torch
from operator_cases import CASES, Case
from torch import Tensor

from medssm.kernels import native

VALUES = {"NaN": float("nan"), "infinity": float("inf"), "minus infinity": float("-inf")}


def results(case: Case, tensors: dict[str, Tensor], backend: str) -> dict[str, Tensor]:
    """The output, and the gradients if the backends compute them."""
    if not case.has_gradient:
        with torch.no_grad():
            return {"y": case.run(tensors, backend)}
    inputs = {name: x.clone().requires_grad_() for name, x in tensors.items()}
    y = case.run(inputs, backend)
    gradients = torch.autograd.grad(y.sum(), list(inputs.values()))
    return {"y": y.detach(), **dict(zip(inputs, gradients, strict=True))}


def compare(actual: Tensor, expected: Tensor) -> dict[str, float]:
    """Entries that are finite but should not be; the share of the reverse; the error of those finite in both."""
    finite = actual.isfinite() & expected.isfinite()
    rest = torch.where(finite, expected, 0)
    error = (torch.where(finite, actual, 0) - rest).abs().max() / rest.abs().max().clamp(min=1e-6)
    swallowed, spread = actual.isfinite() & ~expected.isfinite(), expected.isfinite() & ~actual.isfinite()
    return {"swallowed": swallowed.sum().item(), "spread": spread.double().mean().item(), "error": error.item()}


def main(names: list[str]) -> None:
    """Over the backends of these names."""
    found = {}
    for label, case in CASES.items():
        for backend in set(case.backends) & set(names):
            # Interpreted, a call takes seconds: the argument that every operator has stands for all.
            interpreted = backend == "triton"
            arguments = [next(iter(case.shapes))] if interpreted else list(case.shapes)
            for argument in arguments:
                for value in ["NaN"] if interpreted else VALUES:
                    tensors = case.tensors()
                    tensors[argument][tuple(size // 2 for size in case.shapes[argument])] = VALUES[value]
                    expected = results(case, tensors, case.equation)
                    for result, actual in results(case, tensors, backend).items():
                        key = f"{label} on {backend}, {value} in {argument}: {result}"
                        found[key] = compare(actual, expected[result])
    print(json.dumps({"isa": native.selected_isa(), "found": found}))


if __name__ == "__main__":
    main(sys.argv[1:])
