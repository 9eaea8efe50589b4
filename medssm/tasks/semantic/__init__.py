"""Semantic segmentation of photographs: the class of every pixel."""

from typing import TYPE_CHECKING

from medssm.tasks.room import Room

if TYPE_CHECKING:
    from medssm.tasks.files import FileKind
    from medssm.tasks.room import Draws, Measures, Opens, Runs
    from medssm.tasks.semantic.runner import LabelMap, SemanticSegmenter
    from medssm.tasks.semantic.settings import SemanticRecipe


class _Pixels(Room["SemanticRecipe", "SemanticSegmenter", "LabelMap"]):
    @property
    def settings(self) -> "type[SemanticRecipe]":
        from medssm.tasks.semantic.settings import SemanticRecipe

        return SemanticRecipe

    @property
    def training(self) -> "Opens[SemanticRecipe]":
        from medssm.tasks.semantic.training import SemanticTraining

        return SemanticTraining.open

    @property
    def runner(self) -> "Runs[SemanticSegmenter]":
        from medssm.tasks.semantic.runner import semantic_segmenter

        return semantic_segmenter

    def published_names(self, model: str) -> tuple[str, ...]:
        from medssm.data.layouts.ade20k.categories import ADE20K_NAMES

        return tuple(ADE20K_NAMES)

    @property
    def files(self) -> "FileKind":
        from medssm.tasks.files import Photographs

        return Photographs()

    @property
    def measure(self) -> "Measures[SemanticSegmenter, SemanticRecipe]":
        from medssm.tasks.semantic.scores import measure_label_maps

        return measure_label_maps

    @property
    def picture(self) -> "Draws[LabelMap]":
        from medssm.tasks.semantic.pictures import labelled

        return labelled


TASK = _Pixels("semantic", "classification", "ade20k", does="tells the class of every pixel", command="medssm segment")
