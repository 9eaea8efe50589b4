"""All that is known of a model as plain values, to be written as JSON."""

from dataclasses import asdict
from typing import Any

from medssm.models.counts import Counts, counted_as_published, kept_counts
from medssm.models.info import ModelInfo, PublishedCost, PublishedDense


def model_description(info: ModelInfo) -> dict[str, Any]:
    """The fields of a model's entry without its network, each detector and segmenter among them, and our counts."""
    known = {name: value for name, value in asdict(info).items() if name != "variant"}
    dense = [_describe_dense(info, published) for published in info.dense]
    return known | {"counted": _counts(kept_counts(info), info.cost), "dense": dense}


def _describe_dense(info: ModelInfo, published: PublishedDense) -> dict[str, Any]:
    return asdict(published) | {"counted": _counts(kept_counts(info, published), published.cost)}


def _counts(counts: Counts, published: PublishedCost | None) -> dict[str, Any]:
    """Single operations; `as_published` by the rule of the authors, None where they state no figure."""
    cost = counts.cost
    return {
        "parameters": counts.parameters,
        "multiply_adds": cost.multiply_adds,
        "attention": cost.attention,
        "state_updates": cost.state_updates,
        "norms": cost.norms,
        "as_published": counted_as_published(published, cost),
    }
