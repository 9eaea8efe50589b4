"""Images with boxes, masks and crowd regions, in COCO's format as people have it."""

from medssm.data.layouts.coco.annotations import Annotations
from medssm.data.layouts.coco.categories import CATEGORIES, NAMES
from medssm.data.layouts.coco.dataset import CocoDataset, CocoImage, CocoImages, load_coco
from medssm.data.layouts.coco.reading import read_annotations

__all__ = [
    "CATEGORIES",
    "NAMES",
    "Annotations",
    "CocoDataset",
    "CocoImage",
    "CocoImages",
    "load_coco",
    "read_annotations",
]
