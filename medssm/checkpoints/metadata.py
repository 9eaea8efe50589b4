"""What a weights file says of itself besides its tensors."""

from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field

from medssm.models.arguments import plain_arguments

# What no file that fits has more of: networks are laid out by these numbers before their tensors are looked at.
Count = Annotated[int, Field(ge=1, le=100_000)]
Side = Annotated[int, Field(ge=1, le=10_000)]


class WeightsMetadata(BaseModel):
    """Everything that prediction needs beside the tensors; lies as JSON in the header of the safetensors file.

    Attributes:
        model: a name of `medssm.models.list_models()`. head: one of `list_heads()`, of a detector or a segmenter.
            head_settings: its numbers that are not the published ones.
        arguments: by which the model differs from the published one, as `medssm.models.fresh_model` takes them.
        class_names: label value -> name; the background (0) may be left out. Of a detector or a segmenter label 0 is
            the first class.
        preprocessing: of scans the fields of `medssm.data.scans.preprocessing.Preprocessing`, else those of the model's
            `ImageInput` or `ClipInput`, or of the head's `DetectionInput` or `SemanticInput`.
        input_size: the training crop (D, H, W) in voxels, an image (H, W) or a clip (T, H, W); empty for a detector or
            a segmenter that is laid out as published. Files written before there were images call it "window".
        flips: axis x, y or z of the grid -> "swap" or "as-published", the mirror images seen in training; prediction
            may average over these and no others.
        pairs: label values that "swap" exchanged, left with right; None in files written before this was kept.
        trained_on: of scans, what tells those of the training apart from others: `scan_digest` of each. fold: of the
            dataset's splits the one that they were trained by. Empty and None where it is not known.
        postprocessing: of scans, what is mended of each label, by its value, after prediction: fields of
            `medssm.tasks.segmentation.postprocessing.LabelRules`. None where nothing was learnt of it.
        licence: of the weights. source: where they come from.
        sha256: of the tensors with their names, types and shapes; set when the file is written.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    head: str = ""
    head_settings: dict[str, int | float] = {}
    arguments: Annotated[dict[str, Any], AfterValidator(plain_arguments)] = {}
    num_classes: Count
    in_channels: Count
    class_names: dict[int, str] = {}
    preprocessing: dict[str, Any] = {}
    input_size: tuple[Side, ...] = Field(max_length=3, validation_alias=AliasChoices("input_size", "window"))
    flips: dict[str, str] = {}
    pairs: tuple[tuple[int, int], ...] | None = None
    trained_on: tuple[str, ...] = ()
    fold: int | None = None
    postprocessing: dict[int, dict[str, bool | float]] | None = None
    licence: str = ""
    source: str = ""
    sha256: str = ""
