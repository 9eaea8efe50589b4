"""One window through a network, beside the same network on plain MONAI and the reference scan."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medssm.benchmarks import targets
from medssm.benchmarks.machine import Machine, this_machine
from medssm.benchmarks.pairs import Pairs
from medssm.benchmarks.plain import PlainNetwork
from medssm.benchmarks.threads import torch_threads
from medssm.models import fresh_model, model_info

ENCODER, DECODER, WINDOW = "encoder", "decoder", "whole window"


@dataclass(frozen=True)
class WindowReport:
    """What `measure_window` found.

    Attributes:
        parts: the whole window and what it consists of.
        agreement: part of the voxels with the same label.
        target: the least ratio for the whole window.
    """

    machine: Machine
    model: str
    parts: dict[str, Pairs]
    agreement: float
    target: float = targets.WINDOW


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
    torch.manual_seed(0)
    ours = fresh_model(model).eval()
    plain = PlainNetwork(ours)  # type: ignore[arg-type]
    image = torch.rand(1, info.in_channels, *(window or info.input_size))
    with torch_threads(threads), torch.inference_mode():
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        watches = [_Stopwatch(network, ours.get_submodule("vit"), clock) for network in (ours, plain)]
        labels = [[watch(image).argmax(1) for watch in watches] for _ in range(repeats + 1)]
        machine = this_machine()
    parts = {part: Pairs(*(tuple(watch.seconds[part][1:]) for watch in watches)) for part in (ENCODER, DECODER, WINDOW)}
    agreement = torch.eq(*labels[-1]).float().mean().item()
    return WindowReport(machine, model, parts, agreement)


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
