"""Classification of photographs."""

from typing import TYPE_CHECKING

from medssm.tasks.room import Room

if TYPE_CHECKING:
    from medssm.tasks.classification.settings import ClassificationRecipe
    from medssm.tasks.classifier import Classification, Classifier
    from medssm.tasks.files import FileKind
    from medssm.tasks.room import Draws, Measures, Opens, Runs


class _Photographs(Room["ClassificationRecipe", "Classifier", "Classification"]):
    @property
    def settings(self) -> "type[ClassificationRecipe]":
        from medssm.tasks.classification.settings import ClassificationRecipe

        return ClassificationRecipe

    @property
    def training(self) -> "Opens[ClassificationRecipe]":
        from medssm.tasks.classification.training import ClassificationTraining

        return ClassificationTraining.open

    @property
    def runner(self) -> "Runs[Classifier]":
        from medssm.tasks.classification.runner import image_classifier

        return image_classifier

    def published_names(self, model: str) -> tuple[str, ...]:
        from medssm.data.layouts.imagenet.synsets import imagenet_classes, synset_names

        return synset_names(imagenet_classes())

    @property
    def files(self) -> "FileKind":
        from medssm.tasks.files import Photographs

        return Photographs()

    @property
    def measure(self) -> "Measures[Classifier, ClassificationRecipe]":
        from medssm.tasks.classification.scores import measure_images

        return measure_images

    @property
    def picture(self) -> "Draws[Classification]":
        from medssm.tasks.classification.pictures import answered_image

        return answered_image


TASK = _Photographs("classification", "classification", "imagenet", does="classifies images", command="medssm classify")
