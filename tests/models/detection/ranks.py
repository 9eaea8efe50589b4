"""A small detector, a batch for it, and the gradients of a share of the batch.

Run with a folder and a number, 0 or 1, it is one of two processes that learn from a half of the batch each, and writes
the mean of their gradients for either head: rank0.pt, rank1.pt.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from medssm.models.detection import (
    CASCADE_MASK_RCNN,
    MASK_RCNN,
    Detector,
    Objects,
    cascade_mask_rcnn,
    mask_rcnn,
)
from medssm.models.head_settings import adjusted

BUILDERS = {"mask-rcnn": (mask_rcnn, MASK_RCNN), "cascade-mask-rcnn": (cascade_mask_rcnn, CASCADE_MASK_RCNN)}
SIZE = (96, 128)
NUMBERS = {"neck_channels": 16, "box_features": 32, "box_channels": 16, "anchor_sampling.count": 40}
NUMBERS |= {"roi_sampling.count": 24, "training_proposals.per_level": 60, "training_proposals.per_image": 50}
NUMBERS |= {"test_proposals.per_level": 60, "test_proposals.per_image": 50}


class Backbone(nn.Module):
    """Four strided convolutions, without a norm that would look at the whole batch."""

    channels = (4, 6, 8, 10)
    strides = (4, 8, 16, 32)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, stride=4)
        self.stages = nn.ModuleList(nn.Conv2d(n, n + 2, 2, stride=2) for n in self.channels[:-1])

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [self.stem(image)]
        for stage in self.stages:
            maps.append(stage(maps[-1].tanh()))
        return maps


def detector(head: str) -> Detector:
    """The same at every call."""
    torch.manual_seed(0)
    build, settings = BUILDERS[head]
    network = build(Backbone(), 3, adjusted(settings, NUMBERS))
    for layer in (network.rpn_head.rpn_cls, network.rpn_head.rpn_reg):
        nn.init.normal_(layer.weight, std=0.1)  # boxes that differ
    return network


def batch() -> tuple[Tensor, list[tuple[int, int]], list[Objects]]:
    """Four images of three, one, no and five objects."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(4, 3, *SIZE, generator=generator)
    sizes = [(96, 128), (90, 128), (96, 100), (70, 110)]
    return images, sizes, [objects(count, sizes[k], k, generator) for k, count in enumerate((3, 1, 0, 5))]


def objects(count: int, size: tuple[int, int], seed: int, generator: torch.Generator) -> Objects:
    """Filled boxes."""
    first = torch.rand(count, 2, generator=generator) * torch.tensor([size[1] - 40.0, size[0] - 40.0])
    boxes = torch.cat([first, first + 15 + 25 * torch.rand(count, 2, generator=generator)], dim=1)
    masks = torch.zeros(count, *SIZE, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    return Objects(boxes, torch.randint(3, (count,), generator=generator), masks, seed)


def gradients(network: nn.Module) -> dict[str, Tensor]:
    """Of every parameter."""
    return {name: parameter.grad for name, parameter in network.named_parameters()}


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    share = slice(2 * rank, 2 * rank + 2)
    images, sizes, targets = batch()
    held = {}
    for head in BUILDERS:
        network = detector(head)
        sum(network.losses(images[share], sizes[share], targets[share]).values()).backward()
        held[head] = gradients(network)
        for gradient in held[head].values():
            distributed.all_reduce(gradient)
            gradient /= 2
    torch.save(held, folder / f"rank{rank}.pt")
    distributed.destroy_process_group()
