"""Detection of objects on photographs: boxes, classes and masks."""

from typing import TYPE_CHECKING

from medssm.tasks.room import Room

if TYPE_CHECKING:
    from medssm.tasks.detection.runner import Detection, ObjectDetector
    from medssm.tasks.detection.settings import DetectionRecipe
    from medssm.tasks.files import FileKind
    from medssm.tasks.room import Draws, Measures, Opens, Runs


class _Objects(Room["DetectionRecipe", "ObjectDetector", "Detection"]):
    @property
    def settings(self) -> "type[DetectionRecipe]":
        from medssm.tasks.detection.settings import DetectionRecipe

        return DetectionRecipe

    @property
    def training(self) -> "Opens[DetectionRecipe]":
        from medssm.tasks.detection.training import DetectionTraining

        return DetectionTraining.open

    @property
    def runner(self) -> "Runs[ObjectDetector]":
        from medssm.tasks.detection.runner import object_detector

        return object_detector

    def published_names(self, model: str) -> tuple[str, ...]:
        from medssm.data.layouts.coco.categories import CATEGORIES

        return tuple(CATEGORIES.values())

    @property
    def files(self) -> "FileKind":
        from medssm.tasks.files import Photographs

        return Photographs()

    @property
    def measure(self) -> "Measures[ObjectDetector, DetectionRecipe]":
        from medssm.tasks.detection.scores import measure_objects

        return measure_objects

    @property
    def picture(self) -> "Draws[Detection]":
        from medssm.tasks.detection.pictures import detected_objects

        return detected_objects


TASK = _Objects("detection", "classification", "coco", does="finds objects", command="medssm detect")
