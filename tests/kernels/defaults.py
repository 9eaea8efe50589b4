"""Prints, as JSON, whether each call gives the same to the bit under another default dtype or default device.

A program of its own, because a wrong allocation overruns its memory. Usage: defaults.py DTYPE DEVICE BACKEND...
"""

import json
import sys

import torch
from operator_cases import CASES
from torch import Tensor


def results(backends: list[str]) -> dict[str, list[Tensor]]:
    """Every call's output, and its gradients if there are any."""
    found = {}
    for label, case in CASES.items():
        for backend in set(case.backends) & set(backends):
            inputs = case.tensors()
            if not case.has_gradient:
                with torch.no_grad():
                    found[f"{label} on {backend}"] = [case.run(inputs, backend)]
                continue
            y = case.run({name: x.requires_grad_() for name, x in inputs.items()}, backend)
            found[f"{label} on {backend}"] = [y.detach(), *torch.autograd.grad(y.sum(), list(inputs.values()))]
    return found


def main(dtype: str, device: str, backends: list[str]) -> None:
    torch.set_default_dtype(getattr(torch, dtype))
    torch.set_default_device(device)
    actual = results(backends)  # first: what is kept from call to call must not come from plain settings
    torch.set_default_dtype(torch.float32)
    torch.set_default_device("cpu")
    expected = results(backends)
    pairs = {name: zip(actual[name], expected[name], strict=True) for name in expected}
    print(json.dumps({name: all(torch.equal(a, b) for a, b in pair) for name, pair in pairs.items()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
