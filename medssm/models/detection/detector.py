"""A detector: backbone, feature pyramid, proposals, and what the proposals are."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from medssm.errors import UsageError
from medssm.models.detection.cascade import Cascade
from medssm.models.detection.neck import FeaturePyramid
from medssm.models.detection.roi_align import LEVELS, aligned
from medssm.models.detection.rpn import ProposalHead
from medssm.models.detection.samples import generators, with_area
from medssm.models.detection.settings import CASCADE_MASK_RCNN, MASK_RCNN, DetectorSettings
from medssm.models.detection.structures import Detections, Objects, RawOutputs, Sizes
from medssm.models.pyramid import Pyramid

LOSSES = ("rpn_class", "rpn_box", "class", "box", "mask")


class Detector(nn.Module):
    """Images (B, 3, H, W), normalised and padded with zeros at the bottom and on the right, to objects in them.

    Entries are those of MMDetection's MaskRCNN and CascadeRCNN.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, settings: DetectorSettings) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.settings = settings
        self.backbone = backbone
        self.pyramid = Pyramid(*shape_of(backbone))
        self.neck = FeaturePyramid(self.pyramid.channels, settings)
        self.rpn_head = ProposalHead(settings)
        self.roi_head = Cascade(num_classes, settings)

    def losses(self, images: Tensor, sizes: Sizes, targets: Sequence[Objects]) -> dict[str, Tensor]:
        """Losses "rpn_class", "rpn_box", "class", "box" and "mask"; their sum is what is trained on.

        Without an image all are zero and so is every gradient, in one process; of several none may be without.

        Args:
            images: (B, 3, H, W). sizes: (h, w) of each before its padding. targets: its objects.
        """
        if not len(images):
            nothing = torch.stack([parameter.flatten()[:0].sum().float() for parameter in self.parameters()]).sum()
            return dict.fromkeys(LOSSES, nothing)
        targets = [with_area(objects) for objects in targets]
        random = generators(targets)
        pyramid = self.features(images)
        objectness, deltas = self.rpn_head(pyramid)
        losses = self.rpn_head.losses(objectness, deltas, sizes, targets, random)
        proposals = self.rpn_head.proposals(objectness, deltas, sizes, self.settings.training_proposals)
        return losses | self.roi_head.losses(pyramid, sizes, proposals, targets, random)

    @torch.no_grad()
    def detect(self, images: Tensor, sizes: Sizes) -> list[Detections]:
        """What is seen in each of images (B, 3, H, W), the surest first, in its pixels."""
        if not len(images):
            return []
        pyramid = self.features(images)
        objectness, deltas = self.rpn_head(pyramid)
        proposals = self.rpn_head.proposals(objectness, deltas, sizes, self.settings.test_proposals)
        return self.roi_head.detect(pyramid, sizes, proposals)

    def features(self, images: Tensor) -> list[Tensor]:
        """The five levels of the neck, (B, neck_channels, H, W) each, of images (B, 3, H, W)."""
        return self.neck(self.pyramid(self.backbone(images)))

    def forward(self, images: Tensor) -> RawOutputs:
        """Every layer once for images (B, 3, H, W), on so many boxes as published multiply-adds are counted on.

        All boxes are the whole first image: this is for counting and for looking at layers, `detect` is for images.
        """
        pyramid = self.features(images)
        settings = self.settings
        boxes, masks = settings.counted_rois
        regions = (
            self._whole_image(pyramid, images, boxes, settings.box_roi_size),
            self._whole_image(pyramid, images, masks, settings.mask_roi_size),
        )
        return RawOutputs(pyramid, *self.rpn_head(pyramid), *self.roi_head(*regions))

    def _whole_image(self, pyramid: Sequence[Tensor], images: Tensor, count: int, side: int) -> Tensor:
        height, width = images.shape[2:]
        rois = torch.tensor([[0, 0, 0, width, height]], dtype=torch.float32, device=images.device)
        rois = rois.expand(count if len(images) else 0, -1)  # there may be no first image
        level = LEVELS - 1
        return aligned(pyramid[level], rois, self.settings.strides[level], side, self.settings)


def shape_of(backbone: nn.Module) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The channels and strides of a backbone's maps.

    Raises: UsageError if it gives none.
    """
    channels, strides = getattr(backbone, "channels", None), getattr(backbone, "strides", None)
    if not channels or not strides:
        raise UsageError(
            f"{type(backbone).__name__} gives no pyramid of features; a head needs a backbone made with "
            "features_only=True"
        )
    return tuple(channels), tuple(strides)


def mask_rcnn(
    backbone: nn.Module, num_classes: int, settings: DetectorSettings = MASK_RCNN, *, neck_groups: int = 0
) -> Detector:
    """Mask R-CNN on a backbone.

    Args:
        backbone: images to a list of maps, with `channels` and `strides`.
        num_classes: without the background.
        neck_groups: of the norm in the neck, 0 for none.

    Raises: UsageError on a pyramid that cannot be used.
    """
    return Detector(backbone, num_classes, replace(settings, neck_groups=neck_groups))


def cascade_mask_rcnn(
    backbone: nn.Module, num_classes: int, settings: DetectorSettings = CASCADE_MASK_RCNN, *, neck_groups: int = 0
) -> Detector:
    """Cascade Mask R-CNN on a backbone; as `mask_rcnn` otherwise."""
    return Detector(backbone, num_classes, replace(settings, neck_groups=neck_groups))
