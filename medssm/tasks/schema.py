"""What a recipe may say, a file for each task. Each is typed and complete; an unknown key is an error."""

from typing import Annotated

from pydantic import Field

from medssm.tasks.classification.settings import ClassificationRecipe
from medssm.tasks.detection.settings import DetectionRecipe
from medssm.tasks.segmentation.settings import SegmentationRecipe
from medssm.tasks.semantic.settings import SemanticRecipe
from medssm.tasks.video.settings import VideoRecipe

Recipe = Annotated[
    SegmentationRecipe | ClassificationRecipe | DetectionRecipe | SemanticRecipe | VideoRecipe,
    Field(discriminator="task"),
]

__all__ = [
    "ClassificationRecipe",
    "DetectionRecipe",
    "Recipe",
    "SegmentationRecipe",
    "SemanticRecipe",
    "VideoRecipe",
]
