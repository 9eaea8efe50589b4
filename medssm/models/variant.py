"""What the file of an architecture says of each of its variants: how its network is built, and what its weights are
called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from medssm.models.arguments import Check, Plan
from medssm.models.info import Options

StateDict = dict[str, Tensor]


@dataclass(frozen=True)
class Variant:
    """One network of an architecture.

    Attributes:
        build: the network.
        from_published: published entries to those of the network.
        inflate: of a network for clips: entries of the network for images that it starts from to a part of its own.
        arguments: what `Options.arguments` may hold, by name, each with its check.
        plan: completes them for a window and the size of its voxels, where the network depends on these.
    """

    build: Callable[[Options], nn.Module]
    from_published: Callable[[Mapping[str, Tensor]], StateDict] = dict
    inflate: Callable[[Mapping[str, Tensor]], StateDict] | None = None
    arguments: Mapping[str, Check] = field(default_factory=dict)
    plan: Plan | None = None
