"""How long commands take to start, in processes of their own, beside importing torch alone."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from medssm.benchmarks.machine import Machine, this_machine
from medssm.benchmarks.pairs import Spread, spread
from medssm.benchmarks.targets import LISTING, START

TORCH, MODELS, PREDICT = "import torch", "medssm models", "medssm predict, up to the first window"
MODEL = "mamband-xs"

# What `medssm predict` does with one scan, until the network is given the first window: before it, memory is estimated
# with a smaller one.
_PREDICT = """
import os, sys
from medssm.tasks.loading import load_predictor

def leave(network, inputs):
    if inputs[0].shape[2:] == predictor.window:
        os._exit(0)

predictor = load_predictor(sys.argv[1], "cpu")
predictor.network.register_forward_pre_hook(leave)
predictor.predict(sys.argv[2])
sys.exit("the network was given no window")
"""
_MODELS = "from medssm.cli.main import main; main()"


@dataclass(frozen=True)
class StartReport:
    """Seconds of the processor, which a busy machine does not lengthen; of the clock where the system does not tell.

    Attributes:
        seconds: of every run, by what was started.
        predict_target: the most that predicting may take more than importing torch.
        models_target: the most that the list of models may take.
    """

    machine: Machine
    seconds: Mapping[str, tuple[float, ...]]
    predict_target: float = START
    models_target: float = LISTING

    @property
    def spreads(self) -> dict[str, Spread]:
        """The smallest, middle and largest figure of each."""
        return {what: spread(seconds) for what, seconds in self.seconds.items()}

    @property
    def beyond_torch(self) -> float:
        """By how much predicting starts later than torch is imported, of the medians."""
        return self.spreads[PREDICT].median - self.spreads[TORCH].median

    @property
    def reached(self) -> dict[str, bool]:
        """Whether what has a target keeps it."""
        return {
            MODELS: self.spreads[MODELS].median <= self.models_target,
            PREDICT: self.beyond_torch <= self.predict_target,
        }


def measure_start(repeats: int = 5) -> StartReport:
    """Times `import torch`, `medssm models` and a prediction up to its first window, in turn, each in a fresh process.

    One round more is run before, which fills the system's cache of files.
    """
    with TemporaryDirectory() as folder:
        weights, scan = example(Path(folder))
        programs = {
            TORCH: ["-c", "import os, torch; os._exit(0)"],  # as the prediction ends, which tears nothing down
            MODELS: ["-c", _MODELS, "models"],
            PREDICT: ["-c", _PREDICT, str(weights), str(scan)],
        }
        rounds = [{what: _seconds(program) for what, program in programs.items()} for _ in range(repeats + 1)]
    figures = {what: tuple(round[what] for round in rounds[1:]) for what in programs}
    return StartReport(this_machine(), figures)


def example(folder: Path) -> tuple[Path, Path]:
    """Weights of a small network, fresh ones, and a scan of one window."""
    import numpy as np

    from medssm.checkpoints import WeightsMetadata, save_weights
    from medssm.data.scans.preprocessing import Preprocessing
    from medssm.data.scans.volume import Volume, write_label_map
    from medssm.models import fresh_model, model_info

    info = model_info(MODEL)
    metadata = WeightsMetadata(
        model=MODEL,
        num_classes=info.num_classes,
        in_channels=info.in_channels,
        preprocessing=Preprocessing(spacing=info.spacing).model_dump(mode="json"),
        input_size=info.input_size,
    )
    save_weights(folder / "weights.safetensors", fresh_model(MODEL), metadata)
    values = np.random.default_rng(0).integers(0, 200, info.input_size, dtype=np.uint8)
    volume = Volume(values, np.diag([*info.spacing, 1.0]))
    write_label_map(folder / "scan.nii.gz", values, volume, {})
    return folder / "weights.safetensors", folder / "scan.nii.gz"


def _seconds(program: list[str]) -> float:
    """Of a Python process that runs a program to its end."""
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *program], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used or time.perf_counter() - start
