"""What was counted of every network, kept in counts.json: counting takes seconds and torch, a list of models neither.

`python -m medssm.models.flops` counts all anew and writes the file; a test compares it with the networks.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from medssm.models.info import ModelInfo, PublishedCost, PublishedDense

COUNTS = Path(__file__).with_name("counts.json")


@dataclass(frozen=True)
class NetworkCost:
    """What one input costs.

    Attributes:
        parts: multiply-adds of each top-level part of the network, by its name: convolutions and linear layers.
        attention: multiply-adds of the products of queries, keys and values.
        state_updates: of the scans: one for each token, channel and state.
        norms: operations as fvcore counts them: 5 for each value that a LayerNorm or GroupNorm gives, 2 for a
            BatchNorm's.
    """

    parts: dict[str, int]
    attention: int
    state_updates: int
    norms: int

    @property
    def multiply_adds(self) -> int:
        """Of the whole network's convolutions and linear layers."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Counts:
    """Size of a network, and cost of one input of the size that it was published with."""

    parameters: int
    cost: NetworkCost


def counted_name(info: ModelInfo, published: PublishedDense | None = None) -> str:
    """What a network is called in counts.json: its model, and the head on it, which several schedules share."""
    return f"{info.name} with {published.head}" if published else info.name


def kept_counts(info: ModelInfo, published: PublishedDense | None = None) -> Counts:
    """What was counted of a model, or of a detector or segmenter that was published on it; counted now if it is new."""
    kept = _read().get(counted_name(info, published))
    if kept is None:
        from medssm.models.flops import count

        return count(info, published)
    return kept


def counted_as_published(published: PublishedCost | None, cost: NetworkCost) -> int | None:
    """Multiply-adds by the rule of the authors; None where they state none."""
    if published is None or published.multiply_adds is None:
        return None
    added = {"attention": cost.attention, "norms": cost.norms, "scan": published.scan_steps * cost.state_updates}
    return cost.multiply_adds + sum(added[what] for what in published.counts)


def keep_counts(counted: Mapping[str, Counts]) -> None:
    """Writes counts.json, a line for each network under its `counted_name`."""
    lines = (f'"{name}": {json.dumps(asdict(counts))}' for name, counts in counted.items())
    COUNTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


@cache
def _read() -> dict[str, Counts]:
    entries = json.loads(COUNTS.read_text(encoding="utf-8"))
    return {key: Counts(entry["parameters"], NetworkCost(**entry["cost"])) for key, entry in entries.items()}
