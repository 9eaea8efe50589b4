"""From proposals to detections, in one stage or in several that each start from the boxes of the one before.

He et al., ICCV 2017, arXiv:1703.06870 (one stage); Cai & Vasconcelos, TPAMI 2019, arXiv:1906.09756.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import batched_nms, generalized_box_iou_loss

from medssm.models.detection.boxes import BoxCoder
from medssm.models.detection.masks import mask_targets
from medssm.models.detection.roi_align import region_features
from medssm.models.detection.roi_heads import BoxHead, MaskHead, of_class
from medssm.models.detection.samples import Sample, averaged, sampled
from medssm.models.detection.settings import DetectorSettings, HeadStage
from medssm.models.detection.structures import Detections, Objects, Size, Sizes


class Heads(NamedTuple):
    """Those of one stage."""

    stage: HeadStage
    coder: BoxCoder
    box: BoxHead
    mask: MaskHead


class Cascade(nn.Module):
    """Box and mask heads; those of a single stage are no list, which is how Mask R-CNN's entries are named."""

    def __init__(self, num_classes: int, settings: DetectorSettings) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.settings = settings
        boxes = [BoxHead(num_classes, settings) for _ in settings.stages]
        masks = [MaskHead(num_classes, settings) for _ in settings.stages]
        self.bbox_head = boxes[0] if len(boxes) == 1 else nn.ModuleList(boxes)
        self.mask_head = masks[0] if len(masks) == 1 else nn.ModuleList(masks)

    @property
    def heads(self) -> list[Heads]:
        """Stage after stage."""
        stages = self.settings.stages
        boxes, masks = cast(list[BoxHead], _listed(self.bbox_head)), cast(list[MaskHead], _listed(self.mask_head))
        coders = [BoxCoder(stage.stds, self.settings.side_ratio_clip) for stage in stages]
        return [Heads(*parts) for parts in zip(stages, coders, boxes, masks, strict=True)]

    def forward(self, box_features: Tensor, mask_features: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Logits, differences and masks' logits of every stage, from the same features (n, C, 7, 7), (m, C, 14, 14)."""
        classified = [heads.box(box_features) for heads in self.heads]
        masks = [heads.mask(mask_features) for heads in self.heads]
        return [logits for logits, _ in classified], [deltas for _, deltas in classified], masks

    def losses(
        self,
        pyramid: Sequence[Tensor],
        sizes: Sizes,
        proposals: Sequence[Tensor],
        targets: Sequence[Objects],
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        """The weighted sums over the stages, scalars, of "class", "box" and "mask"; proposals (n, 4) of each image."""
        sums: dict[str, Tensor] = {}
        for number, heads in enumerate(self.heads):
            samples = [
                sampled(boxes, objects, heads.stage.matching, self.settings.roi_sampling, generator)
                for boxes, objects, generator in zip(proposals, targets, generators, strict=True)
            ]
            logits, deltas = self._classified(heads, pyramid, [sample.boxes for sample in samples])
            labels = torch.cat([self._labels(*pair) for pair in zip(samples, targets, strict=True)])
            parts = self._box_losses(heads, logits, deltas, labels, samples, targets)
            parts["mask"] = self._mask_loss(heads, pyramid, samples, targets)
            for name, value in parts.items():
                sums[name] = sums.get(name, 0) + heads.stage.weight * value
            if number + 1 < len(self.settings.stages):
                proposals = self._next_proposals(heads, logits, deltas, labels, samples, sizes)
        return sums

    def _classified(self, heads: Heads, pyramid: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and differences of the boxes of all images, in float32."""
        features = region_features(pyramid, boxes, self.settings.box_roi_size, self.settings)
        logits, deltas = heads.box(features)
        return logits.float(), deltas.float()

    def _labels(self, sample: Sample, objects: Objects) -> Tensor:
        """The class of every box of a sample, the background's is `num_classes`."""
        labels = objects.labels.new_full((len(sample.boxes),), self.num_classes)
        labels[: len(sample.owners)] = objects.labels[sample.owners]
        return labels

    def _box_losses(
        self,
        heads: Heads,
        logits: Tensor,
        deltas: Tensor,
        labels: Tensor,
        samples: Sequence[Sample],
        targets: Sequence[Objects],
    ) -> dict[str, Tensor]:
        """Means over all boxes, of which only those of objects have a second part."""
        number = averaged(len(labels), logits.device)
        is_object = labels < self.num_classes
        moved = of_class(deltas[is_object], labels[is_object])
        boxes = torch.cat([sample.positives for sample in samples])
        wanted = torch.cat([objects.boxes[s.owners] for s, objects in zip(samples, targets, strict=True)])
        if self.settings.box_loss == "giou":
            loss = generalized_box_iou_loss(heads.coder.decode(boxes, moved), wanted, reduction="sum", eps=1e-6)
        else:
            loss = functional.l1_loss(moved, heads.coder.encode(boxes, wanted), reduction="sum")
        return {
            "class": functional.cross_entropy(logits, labels, reduction="sum") / number,
            "box": self.settings.box_loss_weight * loss / number,
        }

    def _mask_loss(
        self, heads: Heads, pyramid: Sequence[Tensor], samples: Sequence[Sample], targets: Sequence[Objects]
    ) -> Tensor:
        """Mean over the cells of the sampled boxes of objects, of the masks of their classes."""
        logits = heads.mask(self._mask_features(pyramid, [sample.positives for sample in samples])).float()
        labels = torch.cat([objects.labels[s.owners] for s, objects in zip(samples, targets, strict=True)])
        side = logits.shape[-1]
        parts = [
            mask_targets(objects.masks, s.owners, s.positives, side, self.settings.mask_threshold)
            for s, objects in zip(samples, targets, strict=True)
        ]
        loss = functional.binary_cross_entropy_with_logits(of_class(logits, labels), torch.cat(parts), reduction="sum")
        return loss / (side**2 * averaged(len(labels), logits.device))

    def _mask_features(self, pyramid: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        return region_features(pyramid, boxes, self.settings.mask_roi_size, self.settings)

    @torch.no_grad()
    def _next_proposals(
        self,
        heads: Heads,
        logits: Tensor,
        deltas: Tensor,
        labels: Tensor,
        samples: Sequence[Sample],
        sizes: Sizes,
    ) -> list[Tensor]:
        """The boxes of a stage, moved as it says, without the objects themselves.

        A box moves as its own class wants, one of the background as the likeliest class does.
        """
        likeliest = logits[:, : self.num_classes].argmax(dim=1)
        moved = of_class(deltas, torch.where(labels == self.num_classes, likeliest, labels))
        parts = moved.split([len(sample.boxes) for sample in samples])
        return [
            heads.coder.decode(sample.boxes, part, size)[~sample.is_object]
            for sample, part, size in zip(samples, parts, sizes, strict=True)
        ]

    @torch.no_grad()
    def detect(self, pyramid: Sequence[Tensor], sizes: Sizes, proposals: Sequence[Tensor]) -> list[Detections]:
        """What is seen in each image of proposals (n, 4): classes by the stages' mean logits, boxes of the last one."""
        boxes = list(proposals)
        counts = [len(part) for part in boxes]
        answers = []
        for number, heads in enumerate(self.heads):
            logits, deltas = self._classified(heads, pyramid, boxes)
            answers.append(logits)
            if number + 1 < len(self.settings.stages):
                moved = of_class(deltas, logits[:, : self.num_classes].argmax(dim=1)).split(counts)
                boxes = [heads.coder.decode(*parts) for parts in zip(boxes, moved, sizes, strict=True)]
        scores = torch.stack(answers).mean(dim=0).softmax(dim=1)[:, : self.num_classes]
        found = [
            self._distinct(heads.coder, *parts)
            for parts in zip(boxes, scores.split(counts), deltas.split(counts), sizes, strict=True)
        ]
        return self._with_masks(pyramid, found)

    def _distinct(self, coder: BoxCoder, boxes: Tensor, scores: Tensor, deltas: Tensor, size: Size) -> Detections:
        """The likeliest boxes of each class of an image, still without masks."""
        rows, labels = (scores > self.settings.score_from).nonzero(as_tuple=True)
        likely = coder.decode(boxes[rows], deltas[rows, labels], size)
        values = scores[rows, labels]
        keep = batched_nms(likely, values, labels, self.settings.overlap)[: self.settings.detections]
        return Detections(likely[keep], values[keep], labels[keep], likely.new_zeros(len(keep), 0, 0))

    def _with_masks(self, pyramid: Sequence[Tensor], found: list[Detections]) -> list[Detections]:
        """The mean of the stages' probabilities for the class of each detection."""
        features = self._mask_features(pyramid, [detections.boxes for detections in found])
        labels = torch.cat([detections.labels for detections in found])
        masks = [of_class(heads.mask(features), labels).float().sigmoid() for heads in self.heads]
        parts = torch.stack(masks).mean(dim=0).split([len(detections.labels) for detections in found])
        return [detections._replace(masks=part) for detections, part in zip(found, parts, strict=True)]


def _listed(heads: nn.Module) -> list[nn.Module]:
    return list(heads) if isinstance(heads, nn.ModuleList) else [heads]
