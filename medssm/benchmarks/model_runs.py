"""Networks ready to be run under stated conditions."""

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from medssm.benchmarks.subjects import Subject
from medssm.errors import MedssmError
from medssm.tasks.precision import autocast, check_precision

CPU_BUDGET = 10.0  # seconds


@dataclass(frozen=True)
class Conditions:
    """How networks are run.

    Attributes:
        device: "cpu" or a CUDA device.
        precision: "32-true", "16-mixed" or "bf16-mixed"; None for float16 autocast on a GPU, float32 on a CPU.
        channels_last: of weights and input; None for yes on a GPU, no on a CPU.
        size: of images in pixels, (H, W); None for each network's own.
        budget: seconds that the passes of one repetition may take; None for no bound on a GPU, 10 s on a CPU.
        threads: of the CPU; None for as many as torch uses.
    """

    device: str = "cpu"
    precision: str | None = None
    channels_last: bool | None = None
    size: tuple[int, int] | None = None
    budget: float | None = None
    threads: int | None = None

    def resolved(self) -> "Conditions":
        """With what None stands for.

        Raises: UsageError for what cannot be; MedssmError without a GPU.
        """
        on_gpu = self.device != "cpu"
        if on_gpu and not torch.cuda.is_available():
            raise MedssmError("torch finds no CUDA device here; leave out --device cuda to measure the CPU")
        precision = self.precision or ("16-mixed" if on_gpu else "32-true")
        check_precision(precision, torch.device(self.device))
        return replace(
            self,
            precision=precision,
            channels_last=on_gpu if self.channels_last is None else self.channels_last,
            budget=CPU_BUDGET if self.budget is None and not on_gpu else self.budget,
        )


class Run:
    """A network of random weights in evaluation mode, where it is to run.

    Attributes:
        weights: bytes that it takes on a GPU. parameters: their number.
    """

    def __init__(self, subject: Subject, conditions: Conditions) -> None:
        self.subject, self.conditions = subject, conditions
        self.device = torch.device(conditions.device)
        before = self.held()
        torch.manual_seed(0)
        self.network = subject.build().to(self.device, **self._layout()).eval()  # type: ignore[call-overload]
        self.weights = self.held() - before
        self.parameters = sum(parameter.numel() for parameter in self.network.parameters())

    def image(self, batch: int) -> Tensor:
        """Standard-normal input, (batch, *shape) of the subject."""
        return torch.randn(batch, *self.subject.shape, device=self.device).to(**self._layout())  # type: ignore[call-overload]

    @torch.inference_mode()
    def passes(self, image: Tensor, count: int) -> float:
        """Seconds of so many passes of (batch, *shape), one after the other, with one synchronisation at the end."""
        with autocast(self.conditions.precision or "32-true", self.device):
            self._wait()
            start = time.perf_counter()
            for _ in range(count):
                self.network(image)
            self._wait()
        return time.perf_counter() - start

    def held(self) -> int:
        """Bytes that tensors hold on the GPU; 0 on a CPU."""
        return torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else 0

    def _layout(self) -> dict[str, torch.memory_format]:
        if not self.conditions.channels_last:
            return {}
        return {"memory_format": torch.channels_last if len(self.subject.shape) == 3 else torch.channels_last_3d}

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
