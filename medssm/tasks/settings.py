"""What recipes of several tasks say alike."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from medssm.models.arguments import plain_arguments
from medssm.training.section import Section
from medssm.training.settings import TrainingSettings


class NetworkSettings(Section):
    """The network.

    Attributes:
        name: one of `medssm models`.
        arguments: by which it differs from the published one, such as {patch_size: [16, 16, 4]}.
    """

    name: str
    arguments: Annotated[dict[str, Any], AfterValidator(plain_arguments)] = Field(default_factory=dict)


class DatasetSettings(Section):
    """The dataset's folder, or a word for one that is made; None if it must be given with --data."""

    folder: str | None = None


class Recipe(TrainingSettings):
    """A whole training run, resolved in full. Each task's own adds what that task alone is asked."""

    name: str
    task: str
    model: NetworkSettings
    data: DatasetSettings


def _with_dots(settings: Any) -> Any:
    """{"a": {"b": 1}} as {"a.b": 1}: `--set` makes sections of dots."""
    if not isinstance(settings, Mapping):
        return settings
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = _with_dots(value)
        flat |= {f"{name}.{key}": one for key, one in nested.items()} if isinstance(value, Mapping) else {name: value}
    return flat


# Numbers of a head by name, those within a section after a dot.
HeadSettings = Annotated[dict[str, int | float], BeforeValidator(_with_dots)]


class HeadedSettings(NetworkSettings):
    """A network that is a backbone under a head; the section itself names the heads that fit.

    Attributes:
        name: of the backbone.
        head: what is on it.
        head_settings: numbers of the head that are not the published ones, by name: those of
            `medssm.models.detection.DetectorSettings` or of `medssm.models.upernet.Widths`.
        num_classes: None for as many as the dataset has.
        pretrained: weights of the backbone: "published" for the classifier's, a file or a run folder; None begins with
            random ones.
        drop_path_rate: of the backbone; None for the published one.
        gradient_checkpointing: of the backbone: trades time for memory.
    """

    head: str
    head_settings: HeadSettings = Field(default_factory=dict)
    num_classes: int | None = Field(None, gt=0)
    pretrained: str | None = None
    drop_path_rate: float | None = Field(None, ge=0, lt=1)
    gradient_checkpointing: bool = False
