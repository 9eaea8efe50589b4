"""Segmentation of scans: label maps in the geometry of the scan."""

from typing import TYPE_CHECKING

from medssm.tasks.room import Room

if TYPE_CHECKING:
    from medssm.tasks.files import FileKind
    from medssm.tasks.room import Draws, Measures, Opens, Runs
    from medssm.tasks.segmentation.result import Segmentation
    from medssm.tasks.segmentation.runner import Predictor
    from medssm.tasks.segmentation.settings import SegmentationRecipe


class _Scans(Room["SegmentationRecipe", "Predictor", "Segmentation"]):
    @property
    def settings(self) -> "type[SegmentationRecipe]":
        from medssm.tasks.segmentation.settings import SegmentationRecipe

        return SegmentationRecipe

    @property
    def training(self) -> "Opens[SegmentationRecipe]":
        from medssm.tasks.segmentation.training import SegmentationTraining

        return SegmentationTraining.open

    @property
    def runner(self) -> "Runs[Predictor]":
        from medssm.tasks.segmentation.runner import scan_predictor

        return scan_predictor

    def published_names(self, model: str) -> tuple[str, ...]:
        from medssm.data.scans.organs import BTCV_ORGANS

        return ("background", *BTCV_ORGANS.values())

    @property
    def files(self) -> "FileKind":
        from medssm.tasks.segmentation.files import ScanFiles

        return ScanFiles()

    @property
    def measure(self) -> "Measures[Predictor, SegmentationRecipe]":
        from medssm.tasks.segmentation.scores import measure_cases

        return measure_cases

    @property
    def picture(self) -> "Draws[Segmentation]":
        from medssm.tasks.segmentation.pictures import preview

        return preview


TASK = _Scans("segmentation", "segmentation", "btcv", does="segments scans", command="medssm predict")
