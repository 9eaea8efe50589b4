"""`medssm predict`: scans to label maps on their own grid."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from medssm.tasks.segmentation.files import Job, Outcome
    from medssm.tasks.segmentation.memory import MemoryEstimate
    from medssm.tasks.segmentation.result import Segmentation


def register(app: typer.Typer) -> None:
    app.command()(predict)


def predict(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="NIfTI, NRRD or MHA files, DICOM folders, or folders of them."),
    ],
    weights: Annotated[Path | None, typer.Option(help="A weights file, ours or a published one.")] = None,
    run: Annotated[Path | None, typer.Option(help="A run folder; by default the newest one in runs.")] = None,
    model: Annotated[str | None, typer.Option(help="Fetch the published weights of this model.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder (or file, for one scan); by default beside each scan.")
    ] = None,
    overlap: Annotated[float, typer.Option(min=0.0, max=0.95, help="Part of a window its neighbour repeats.")] = 0.5,
    tta: Annotated[bool, typer.Option("--tta", help="Average over the mirror images seen in training.")] = False,
    memory: Annotated[str | None, typer.Option(help="Bound on the memory of the process, such as 4G.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Also draw the slices that matter, a PNG.")] = False,
    stats: Annotated[bool, typer.Option("--stats", help="Also write CSV and JSON of every organ.")] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write every class's probability.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; a GPU if there is one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write again what is there already.")] = False,
) -> None:
    """Segment scans; each label map has its scan's shape, affine and orientation."""
    from medssm.allocator import keep_freed_memory
    from medssm.cli.terminal import console
    from medssm.tasks.loading import load_predictor
    from medssm.tasks.segmentation.files import Extras, plan_jobs, predict_scans
    from medssm.tasks.segmentation.memory import parse_memory
    from medssm.tasks.segmentation.runner import PredictSettings
    from medssm.tasks.weights import choose_weights

    bound = parse_memory(memory) if memory else None
    jobs = plan_jobs(inputs, out, Extras(preview, stats, probabilities))
    chosen = choose_weights(weights, run, model)
    if bound is None:
        keep_freed_memory()
    screen = console()
    screen.print(f"weights: {chosen}", highlight=False, soft_wrap=True)
    settings = PredictSettings(overlap=overlap, tta=tta, memory=bound, confidence=stats)
    outcome = predict_scans(load_predictor(chosen, device), jobs, settings, _Screen(screen), overwrite=overwrite)
    _print_summary(screen, outcome)
    if outcome.failed:
        raise typer.Exit(1)


class _Screen:
    """Tells the terminal what happens to each scan."""

    def __init__(self, console: "Console") -> None:
        self.console = console

    def skipped(self, job: "Job") -> None:
        self._line(f"{job.scan}: {job.labels} is there already, skipped (--overwrite writes it again)")

    def estimated(self, job: "Job", estimate: "MemoryEstimate") -> None:
        self._line(f"{job.scan}: {estimate}")

    def progress(self, job: "Job") -> AbstractContextManager[Callable[[int, int], None]]:
        from medssm.cli.terminal import case_progress

        return case_progress(job.scan.name)

    def finished(self, job: "Job", segmentation: "Segmentation") -> None:
        for note in segmentation.volume.notes:
            self._line(f"{job.scan}: {note}")
        found = {name: size for name, size in segmentation.volumes_ml.items() if size}
        listed = ", ".join(f"{name} {size:.1f} ml" for name, size in found.items()) or "no organ found"
        self._line(f"{job.scan} -> {', '.join(map(str, job.outputs))}: {listed}")

    def _line(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)


def _print_summary(screen: "Console", outcome: "Outcome") -> None:
    for sentence in outcome.failed.values():
        screen.print(f"failed: {sentence}", style="red", highlight=False, soft_wrap=True)
    counts = f"{len(outcome.done)} predicted, {len(outcome.skipped)} skipped, {len(outcome.failed)} failed"
    screen.print(counts, highlight=False)
