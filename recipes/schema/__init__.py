"""What a recipe may say, a file for each task. Each is typed and complete; an unknown key is an error."""

from typing import Annotated

from pydantic import Field

from medssm.recipes.schema.classification import ClassificationRecipe
from medssm.recipes.schema.detection import DetectionRecipe
from medssm.recipes.schema.segmentation import SegmentationRecipe
from medssm.recipes.schema.semantic import SemanticRecipe
from medssm.recipes.schema.video import VideoRecipe

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
