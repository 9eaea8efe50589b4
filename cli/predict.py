"""`medssm predict`: scans to label maps on their own grid."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medssm.cli.options import Device, FillGaps, Log, Model, Overwrite, Report, Runs, VolumeNumber, Weights
from medssm.data.scans.formats import known_formats

if TYPE_CHECKING:
    from medssm.tasks.segmentation.files import OrgansOfScan


class Mending(str, Enum):
    """Whether what was learnt of mending labels is applied."""

    learnt = "learnt"
    none = "none"


def register(app: typer.Typer) -> None:
    app.command()(predict)


def predict(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="INPUT...", help=f"Scans: {known_formats()}, or folders of them."),
    ] = None,
    weights: Weights = None,
    run: Runs = None,
    fold: Annotated[
        list[int] | None, typer.Option(min=0, help="Of the folds of a --run only this one; may be repeated.")
    ] = None,
    model: Model = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder (or file, for one scan); by default beside each scan.")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Of the files in folders only those like this, such as '*_0000.nii.gz'."),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="In place of INPUT, once for each channel of a scan, such as T1=a.nii."),
    ] = None,
    overlap: Annotated[float, typer.Option(min=0.0, max=0.95, help="Part of a window its neighbour repeats.")] = 0.5,
    tta: Annotated[bool, typer.Option("--tta", help="Average over the mirror images seen in training.")] = False,
    memory: Annotated[str | None, typer.Option(help="Bound on the memory of the process, such as 4G.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Also draw the slices that matter, a PNG.")] = False,
    stats: Annotated[bool, typer.Option("--stats", help="Also write CSV and JSON of every organ.")] = False,
    fill_gaps: FillGaps = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write every class's probability.")
    ] = False,
    volume: VolumeNumber = None,
    postprocessing: Annotated[
        Mending, typer.Option(help="Mend labels as validation has shown it to be right, or not at all.")
    ] = Mending.learnt,
    device: Device = None,
    overwrite: Overwrite = False,
    report: Report = None,
    log: Log = None,
) -> None:
    """Segment scans; each label map has its scan's shape, affine and orientation."""
    from medssm.allocator import keep_freed_memory, return_freed_memory
    from medssm.cli.batches import Batch, Shown, tell_weights
    from medssm.errors import UsageError
    from medssm.files import refuse_unwritable
    from medssm.tasks.batch_report import BatchReport, sha256_of_weights
    from medssm.tasks.files import refuse_other_inputs
    from medssm.tasks.loading import load_ensemble
    from medssm.tasks.segmentation.channel_files import job_of, named_files, together
    from medssm.tasks.segmentation.ensemble import members_of
    from medssm.tasks.segmentation.files import predict_scans
    from medssm.tasks.segmentation.jobs import Extras, plan_jobs
    from medssm.tasks.segmentation.memory import parse_memory
    from medssm.tasks.segmentation.runner import PredictSettings
    from medssm.tasks.weights import choose

    bound = parse_memory(memory) if memory else None
    if bool(inputs) == bool(channel):
        raise UsageError("give scans, or a scan by its channels (--channel T1=a.nii.gz --channel T2=b.nii.gz)")
    refuse_other_inputs(inputs or (), "scan")
    extras = Extras(preview, stats, probabilities)
    jobs = plan_jobs(inputs, out, extras, pattern) if inputs else []
    refuse_unwritable([report, *(path for job in jobs for path in job.outputs)])
    one = choose(weights, run[0] if run else None, model, otherwise="mamband-s")
    chosen = [member for each in (run or [one]) for member in members_of(each, fold or ())]
    if bound is None:
        keep_freed_memory()
    else:
        return_freed_memory()
    settings = {
        "overlap": overlap,
        "tta": tta,
        "memory": bound,
        "volume": volume,
        "fill_gaps": fill_gaps,
        "postprocessing": postprocessing.value,
        "device": device,
    }
    predictor = load_ensemble(chosen, device, model=model)
    names = predictor.preprocessing.channel_names
    jobs = together(jobs, names) if inputs else [job_of(named_files(channel or (), names), out, extras)]
    refuse_unwritable(path for job in jobs for path in job.outputs)
    weights_sha256 = sha256_of_weights(*chosen)
    made_by = {"command": "predict", "weights_sha256": weights_sha256, "settings": settings}
    batch: Batch[OrgansOfScan] = Batch(
        [job.scan for job in jobs],
        "predicted",
        lambda scan, found: Shown(f" -> {', '.join(map(str, outputs[scan]))}: {_organs(found)}"),
        None,
        "predict",
        report=BatchReport.to(report, made_by, *chosen) if report else None,
    )
    outputs = {job.scan: job.outputs for job in jobs}
    tell_weights(*chosen)
    how = PredictSettings(
        overlap=overlap,
        tta=tta,
        memory=bound,
        confidence=stats,
        volume=volume,
        fill_gaps=fill_gaps,
        postprocessing=postprocessing.value,
    )
    batch.run(
        lambda watch, _: predict_scans(predictor, jobs, how, watch, weights_sha256=weights_sha256, overwrite=overwrite)
    )


def _organs(found: "OrgansOfScan") -> str:
    present = {name: size for name, size in found.volumes_ml.items() if size}
    return ", ".join(f"{name} {size:.1f} ml" for name, size in present.items()) or "no organ found"
