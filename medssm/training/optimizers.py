"""Optimisers, and the groups of parameters that they treat alike."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import schedulefree
import torch
from timm.optim import Lamb
from torch import nn
from torch.optim import Optimizer

from medssm.training.settings import LayerDecay, OptimizerSettings


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """The optimiser of all parameters that learn.

    The `peak` of a group scales the full learning rate, its `share` what the schedule makes of that.
    """
    groups, rate = parameter_groups(model, settings), settings.learning_rate
    if settings.algorithm == "lamb":
        return Lamb(groups, lr=rate, betas=settings.betas, eps=settings.eps)
    if settings.algorithm == "schedule-free-adamw":
        optimizer = schedulefree.AdamWScheduleFree(groups, lr=rate, betas=settings.betas, eps=settings.eps)
        optimizer.train()
        return optimizer
    return torch.optim.AdamW(groups, lr=rate, betas=settings.betas, eps=settings.eps)


def parameter_groups(model: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """Parameters of one weight decay and one learning rate together, in the order of their first one.

    Those with a rate of 0 are in none, and are frozen.
    """
    groups: dict[tuple[float, float, float], dict[str, Any]] = {}
    depth = _number_of_blocks(model, settings.layer_decay) if settings.layer_decay else 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = settings.weight_decay * decay_factor(name, parameter.ndim, settings)
            peak, share = rate_factors(name, settings)
            if not peak * share:
                parameter.requires_grad_(False)
                continue
            peak *= layer_rate(name, depth, settings.layer_decay) if settings.layer_decay else 1.0
            new = {"params": [], "weight_decay": decay, "peak": peak, "share": share}
            group = groups.setdefault((decay, peak, share), new)
            group["params"].append(parameter)
    return list(groups.values())


def decay_factor(name: str, dimensions: int, settings: OptimizerSettings) -> float:
    """By how much of the weight decay a parameter is decayed."""
    for rule in settings.decay:
        if fnmatchcase(name, rule.name) and (rule.dimensions is None or dimensions <= rule.dimensions):
            return rule.factor
    return 1.0


def rate_factors(name: str, settings: OptimizerSettings) -> tuple[float, float]:
    """The shares of the full learning rate, and of the schedule, that a parameter has by the rules for its name."""
    for rule in settings.rates:
        if fnmatchcase(name, rule.name):
            return (rule.factor, 1.0) if rule.scales == "peak" else (1.0, rule.factor)
    return 1.0, 1.0


def layer_rate(name: str, depth: int, settings: LayerDecay) -> float:
    """The share of the learning rate that a parameter of a network with `depth` blocks has."""
    if any(fnmatchcase(name, pattern) for pattern in settings.stem):
        return settings.rate ** (depth + 1)
    block = _block(name, settings)
    return 1.0 if block is None else settings.rate ** (depth - block)


@contextmanager
def evaluation_weights(optimizer: Optimizer) -> Iterator[None]:
    """Within it the network holds the weights that are meant for use.

    A schedule-free optimiser trains others than it evaluates. Its way back is not exact, so the weights of training are
    kept aside and put back to the bit.
    """
    if not isinstance(optimizer, schedulefree.AdamWScheduleFree):
        yield
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)


def _number_of_blocks(model: nn.Module, settings: LayerDecay) -> int:
    blocks = [_block(name, settings) for name, _ in model.named_parameters()]
    return 1 + max((block for block in blocks if block is not None), default=-1)


def _block(name: str, settings: LayerDecay) -> int | None:
    found = re.match(re.escape(settings.blocks) + r"\.(\d+)\.", name)
    return int(found[1]) if found else None
