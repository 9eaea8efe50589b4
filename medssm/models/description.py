"""All that is known of a model as plain values, to be written as JSON."""

from dataclasses import asdict
from typing import Any

from medssm.models.flops import Cost, counted_as_published, dense_cost, model_cost
from medssm.models.info import ModelInfo, PublishedCost, PublishedDense
from medssm.models.registry import count_parameters

_FUNCTIONS = {"build", "from_published", "inflate"}


def describe(info: ModelInfo) -> dict[str, Any]:
    """The fields of a model's entry that are no functions, each detector and segmenter among them, and our counts."""
    known = {name: value for name, value in asdict(info).items() if name not in _FUNCTIONS}
    dense = [_describe_dense(info, published) for published in info.dense]
    return known | {"counted": _counts(count_parameters(info.name), model_cost(info.name), info.cost), "dense": dense}


def _describe_dense(info: ModelInfo, published: PublishedDense) -> dict[str, Any]:
    parameters = count_parameters(info.name, published.head)
    return asdict(published) | {"counted": _counts(parameters, dense_cost(info.name, published), published.cost)}


def _counts(parameters: int, cost: Cost, published: PublishedCost | None) -> dict[str, Any]:
    """Single operations; `as_published` by the rule of the authors, None where they state no figure."""
    return {
        "parameters": parameters,
        "multiply_adds": cost.multiply_adds,
        "attention": cost.attention,
        "state_updates": cost.state_updates,
        "norms": cost.norms,
        "as_published": counted_as_published(published, cost),
    }
