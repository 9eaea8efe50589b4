"""How a run is trained: optimiser, schedule, length, hardware. Every recipe holds one of these."""

from typing import Annotated, Literal

from pydantic import Field

from medssm.training.schedules import OneCycle, WarmupCosine
from medssm.training.section import Section

Precision = Literal["auto", "32-true", "16-mixed", "bf16-mixed"]


class OptimizerSettings(Section):
    """AdamW.

    Attributes:
        clip_norm: the gradient's largest norm; None for no clipping.
        clip_in_mixed_precision: clip under 16-bit autocast too.
    """

    learning_rate: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float | None = Field(None, gt=0)
    clip_in_mixed_precision: bool = True


class RunSettings(Section):
    """Length, hardware and bookkeeping of a run.

    Attributes:
        batch_size: samples per step and device.
        max_steps, max_epochs, max_minutes: the first that is reached ends the run; None for no bound. Minutes are
            turned into a number of steps by timing the first ones, so that the schedule and a resumed run are exact.
        precision: of the arithmetic; "auto" is 16-mixed on a CUDA device and 32-true elsewhere.
        devices, nodes: None takes what torchrun or SLURM started, else one.
        validate_every_epochs, validate_every_steps: when to validate; the end of the run always is.
        patience: validations without a better score after which the run ends; None for never.
        checkpoint_minutes: time between two writes of last.ckpt.
        loader_threads: threads that prepare the coming samples.
    """

    seed: int = Field(0, ge=0)
    batch_size: int = Field(1, gt=0)
    max_steps: int | None = Field(None, gt=0)
    max_epochs: int | None = Field(None, gt=0)
    max_minutes: float | None = Field(None, gt=0)
    precision: Precision = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int | None = Field(None, gt=0)
    nodes: int | None = Field(None, gt=0)
    validate_every_epochs: int | None = Field(None, gt=0)
    validate_every_steps: int | None = Field(None, gt=0)
    patience: int | None = Field(None, gt=0)
    log_every_steps: int = Field(10, gt=0)
    checkpoint_minutes: float = Field(5.0, ge=0)
    loader_threads: int = Field(1, gt=0)


class TrainingSettings(Section):
    """What the loop needs to know beside the task."""

    optimizer: OptimizerSettings
    schedule: Annotated[WarmupCosine | OneCycle, Field(discriminator="kind")]
    run: RunSettings
