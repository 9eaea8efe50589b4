"""Mask R-CNN and Cascade Mask R-CNN, on any backbone that gives a pyramid."""

from medssm.models.detection.detector import LOSSES, Detector, cascade_mask_rcnn, mask_rcnn
from medssm.models.detection.masks import paste_masks
from medssm.models.detection.settings import CASCADE_MASK_RCNN, MASK_RCNN, DetectorSettings
from medssm.models.detection.structures import Detections, Objects, RawOutputs

__all__ = [
    "CASCADE_MASK_RCNN",
    "LOSSES",
    "MASK_RCNN",
    "Detections",
    "Detector",
    "DetectorSettings",
    "Objects",
    "RawOutputs",
    "cascade_mask_rcnn",
    "mask_rcnn",
    "paste_masks",
]
