"""One window through a network, beside the same network on plain MONAI and the reference scan."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medssm.benchmarks.plain import PlainNetwork
from medssm.models import create_model, model_info

ENCODER, DECODER, WINDOW = "encoder", "decoder", "whole window"


@dataclass(frozen=True)
class WindowTimes:
    """Seconds of every repetition, of our network and of the plain one.

    Attributes:
        part: what was timed.
        native, plain: one entry for each repetition; entries of the same place were taken one after the other.
    """

    part: str
    native: tuple[float, ...]
    plain: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, float, float]:
        """How many times faster ours is: the smallest, middle and largest of the repetitions' ratios."""
        ratios = sorted(plain / native for native, plain in zip(self.native, self.plain, strict=True))
        return ratios[0], statistics.median(ratios), ratios[-1]


@dataclass(frozen=True)
class WindowReport:
    """What `measure_window` found; `agreement` is the part of the voxels with the same label."""

    model: str
    threads: int
    times: tuple[WindowTimes, ...]
    agreement: float


def measure_window(
    model: str = "mamband-s", repeats: int = 7, threads: int | None = None, window: tuple[int, ...] | None = None
) -> WindowReport:
    """Times a window of noise through a model with random weights, ours and plain in turn, after one warm-up of each.

    On one thread the time is the processor's, which a busy machine does not lengthen; on several it is the clock's.

    Args:
        model: a name of `list_models()`.
        repeats: of each network.
        threads: None for as many as torch uses.
        window: (D, H, W) in voxels; None for the model's own.

    Raises: UsageError on an unknown model, or one that has no plain form.
    """
    info = model_info(model)
    before = torch.get_num_threads()
    torch.manual_seed(0)
    ours = create_model(model).eval()
    plain = PlainNetwork(ours)  # type: ignore[arg-type]
    image = torch.rand(1, info.in_channels, *(window or info.window))
    try:
        torch.set_num_threads(threads or before)
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        stopwatches = [_Stopwatch(network, ours.get_submodule("vit"), clock) for network in (ours, plain)]
        with torch.inference_mode():
            labels = [[watch(image).argmax(1) for watch in stopwatches] for _ in range(repeats + 1)]
        used = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    times = tuple(
        WindowTimes(part, *(tuple(watch.seconds[part][1:]) for watch in stopwatches))
        for part in (ENCODER, DECODER, WINDOW)
    )
    agreement = torch.eq(*labels[-1]).float().mean().item()
    return WindowReport(model, used, times, agreement)


class _Stopwatch:
    """Runs a network and notes the time of its encoder, of the rest, and of all."""

    def __init__(self, network: nn.Module, encoder: nn.Module, clock: Callable[[], float]) -> None:
        self.network, self.encoder, self.clock = network, encoder, clock
        self.seconds: dict[str, list[float]] = {ENCODER: [], DECODER: [], WINDOW: []}

    def __call__(self, image: Tensor) -> Tensor:
        marks: list[float] = []
        hooks = (
            self.encoder.register_forward_pre_hook(lambda *_: marks.append(self.clock())),
            self.encoder.register_forward_hook(lambda *_: marks.append(self.clock())),
        )
        start = self.clock()
        logits = self.network(image)
        end = self.clock()
        for hook in hooks:
            hook.remove()
        encoder = marks[1] - marks[0]
        for part, seconds in ((ENCODER, encoder), (DECODER, end - start - encoder), (WINDOW, end - start)):
            self.seconds[part].append(seconds)
        return logits
