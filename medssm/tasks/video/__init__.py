"""Recognition of actions in videos."""

from typing import TYPE_CHECKING

from medssm.tasks.room import Room

if TYPE_CHECKING:
    from medssm.tasks.classifier import Classification, Classifier
    from medssm.tasks.files import FileKind
    from medssm.tasks.room import Draws, Measures, Opens, Runs
    from medssm.tasks.video.settings import VideoRecipe


class _Videos(Room["VideoRecipe", "Classifier", "Classification"]):
    @property
    def settings(self) -> "type[VideoRecipe]":
        from medssm.tasks.video.settings import VideoRecipe

        return VideoRecipe

    @property
    def training(self) -> "Opens[VideoRecipe]":
        from medssm.tasks.video.training import VideoTraining

        return VideoTraining.open

    @property
    def runner(self) -> "Runs[Classifier]":
        from medssm.tasks.video.runner import video_classifier

        return video_classifier

    def published_names(self, model: str) -> tuple[str, ...]:
        from medssm.data.layouts.actions.names import HMDB51_ACTIONS, UCF101_ACTIONS, kinetics400_actions

        if model == "mamband-video-k400":
            return tuple(kinetics400_actions())
        known = {"mamband-video-ucf101": UCF101_ACTIONS, "mamband-video-hmdb51": HMDB51_ACTIONS}
        return known.get(model, ())

    @property
    def files(self) -> "FileKind":
        from medssm.tasks.video.files import VideoFiles

        return VideoFiles()

    @property
    def measure(self) -> "Measures[Classifier, VideoRecipe]":
        from medssm.tasks.video.scores import measure_clips

        return measure_clips

    @property
    def picture(self) -> "Draws[Classification]":
        from medssm.tasks.video.pictures import answered_clip

        return answered_clip


TASK = _Videos("video", "video", "ucf101", does="classifies videos", command="medssm classify")
