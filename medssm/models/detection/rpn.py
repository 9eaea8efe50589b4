"""Region proposal network: where something is, whatever it may be.

Ren et al., NeurIPS 2015, arXiv:1506.01497. Boxes of all levels of an image follow one another, N in all, from the
finest, row by row, the anchors of a cell side by side.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import batched_nms

from medssm.models.detection.anchors import anchors, usable
from medssm.models.detection.boxes import BoxCoder, has_area, overlaps
from medssm.models.detection.samples import IGNORED, averaged, drawn, matched
from medssm.models.detection.settings import DetectorSettings, Limits
from medssm.models.detection.structures import Objects, Size, Sizes
from medssm.models.detection.units import zero_bias

STDS = (1.0, 1.0, 1.0, 1.0)


class ProposalHead(nn.Module):
    """Five levels (B, C, H, W) to whether each anchor holds an object, and how its box differs from it."""

    def __init__(self, settings: DetectorSettings) -> None:
        super().__init__()
        self.settings = settings
        self.coder = BoxCoder(STDS, settings.side_ratio_clip)
        width, ratios = settings.neck_channels, len(settings.anchor_ratios)
        self.rpn_conv = nn.Conv2d(width, width, 3, padding=1)
        self.rpn_cls = nn.Conv2d(width, ratios, 1)
        self.rpn_reg = nn.Conv2d(width, 4 * ratios, 1)
        for layer in (self.rpn_conv, self.rpn_cls, self.rpn_reg):
            nn.init.normal_(layer.weight, std=0.01)
            zero_bias(layer)

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Of each level logits (B, ratios, H, W) and differences (B, 4 * ratios, H, W)."""
        hidden = [functional.relu(self.rpn_conv(x)) for x in pyramid]
        return [self.rpn_cls(x) for x in hidden], [self.rpn_reg(x) for x in hidden]

    def losses(
        self,
        objectness: Sequence[Tensor],
        deltas: Sequence[Tensor],
        sizes: Sizes,
        targets: Sequence[Objects],
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        """The mean over the sampled anchors, scalars, of "rpn_class" and "rpn_box"."""
        boxes = torch.cat(self._anchors(objectness))
        logits, differences = _by_image(objectness, 1)[..., 0], _by_image(deltas, 4)
        class_loss, box_loss, count = logits.new_zeros(()), logits.new_zeros(()), 0
        for image, (size, objects, generator) in enumerate(zip(sizes, targets, generators, strict=True)):
            index, positive, negative = self._sample(boxes, _grids(objectness), size, objects, generator)
            chosen = torch.cat([positive, negative])
            truth = (torch.arange(len(chosen), device=chosen.device) < len(positive)).float()
            class_loss = class_loss + functional.binary_cross_entropy_with_logits(
                logits[image, chosen], truth, reduction="sum"
            )
            wanted = self.coder.encode(boxes[positive], objects.boxes[index])
            box_loss = box_loss + functional.smooth_l1_loss(
                differences[image, positive], wanted, reduction="sum", beta=self.settings.rpn_beta
            )
            count += max(len(positive), 1) + max(len(negative), 1)  # as MMDetection counts (`SamplingResult.num_pos`)
        number = averaged(count, logits.device)
        return {"rpn_class": class_loss / number, "rpn_box": box_loss / number}

    def _sample(
        self, boxes: Tensor, grids: list[Size], size: Size, objects: Objects, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The objects of the sampled anchors that have one, and the positions of these anchors and of the others."""
        places = usable(grids, boxes, size, self.settings).nonzero()[:, 0]
        matches = boxes.new_full((len(boxes),), IGNORED, dtype=torch.long)
        matches[places] = matched(overlaps(objects.boxes, boxes[places]), self.settings.anchor_matching)
        positive, negative = drawn(matches, self.settings.anchor_sampling, generator)
        return matches[positive], positive, negative

    @torch.no_grad()
    def proposals(
        self, objectness: Sequence[Tensor], deltas: Sequence[Tensor], sizes: Sizes, limits: Limits
    ) -> list[Tensor]:
        """The likeliest boxes of each image, (n, 4), the likeliest first; the whole image if there is none."""
        levels = self._anchors(objectness)
        found = []
        for image, size in enumerate(sizes):
            boxes, scores, level_numbers = [], [], []
            for number, (anchor_boxes, level, level_deltas) in enumerate(zip(levels, objectness, deltas, strict=True)):
                probabilities = _flat(level[image : image + 1], 1)[0, :, 0].sigmoid()
                top, order = probabilities.topk(min(limits.per_level, len(probabilities)))
                differences = _flat(level_deltas[image : image + 1], 4)[0, order]
                boxes.append(self.coder.decode(anchor_boxes[order], differences, size))
                scores.append(top)
                level_numbers.append(torch.full_like(order, number))
            found.append(self._distinct(torch.cat(boxes), torch.cat(scores), torch.cat(level_numbers), size, limits))
        return found

    def _distinct(self, boxes: Tensor, scores: Tensor, levels: Tensor, size: Size, limits: Limits) -> Tensor:
        keep = has_area(boxes, self.settings.min_proposal_side).nonzero()[:, 0]
        keep = keep[batched_nms(boxes[keep], scores[keep], levels[keep], self.settings.proposal_overlap)]
        if not len(keep):
            return boxes.new_tensor([[0, 0, size[1], size[0]]])
        return boxes[keep[: limits.per_image]]

    def _anchors(self, objectness: Sequence[Tensor]) -> list[Tensor]:
        return anchors(_grids(objectness), self.settings, objectness[0].device)


def _grids(maps: Sequence[Tensor]) -> list[Size]:
    return [(x.shape[2], x.shape[3]) for x in maps]


def _flat(x: Tensor, values: int) -> Tensor:
    """A level (B, ratios * values, H, W) as (B, H * W * ratios, values) in float32."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1, values).float()


def _by_image(maps: Sequence[Tensor], values: int) -> Tensor:
    """All levels, (B, N, values)."""
    return torch.cat([_flat(x, values) for x in maps], dim=1)
