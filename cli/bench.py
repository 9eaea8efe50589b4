"""`medssm bench`: speed and memory beside what people would run otherwise, measured on this machine."""

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medssm.benchmarks.scan import Row


STEADY_THREADS = {"OMP_PROC_BIND": "true", "OMP_WAIT_POLICY": "active"}


class Device(str, Enum):
    cpu = "cpu"
    cuda = "cuda"


Json = Annotated[Path | None, typer.Option(help="Also write every repetition, with machine and versions.")]
Threads = Annotated[int | None, typer.Option(min=1, help="As many as torch uses by default.")]
Repeats = Annotated[int, typer.Option(min=1, help="Of each side, taken in turn.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Measure speed and memory side by side with plain PyTorch and MONAI.", no_args_is_help=True
    )
    for command in (scan, window, predict, memory):
        group.command()(command)
    app.add_typer(group, name="bench")


def scan(
    device: Annotated[Device, typer.Option(help="Where the scans run.")] = Device.cpu,
    threads: Threads = None,
    repeats: Repeats = 7,
    json: Json = None,
) -> None:
    """Time the scan kernels, and what share of this machine's own roof they reach.

    On the CPU beside the plain sequential scan in PyTorch (3 repetitions where one takes over 10 s; all of it takes
    about 5 minutes), beside permuting the tokens for each order of Mamba-ND, and beside torch's convolution. That
    sequential scan takes about as long as mamba_ssm's reference in linear time; one written for our layout of the
    tokens would take half. On a GPU beside mamba_ssm's CUDA kernel.

    Threads are bound to cores and wait actively, unless OMP_PROC_BIND and OMP_WAIT_POLICY say otherwise: a thread that
    is woken late takes longer than a small scan.
    """
    for name, value in STEADY_THREADS.items():
        os.environ.setdefault(name, value)  # read when torch is loaded, below
    from medssm.allocator import keep_freed_memory
    from medssm.benchmarks.gpu import measure_gpu_scans
    from medssm.benchmarks.report import write_json
    from medssm.benchmarks.scan import measure_scans
    from medssm.benchmarks.tables import scan_caption, scan_tables
    from medssm.cli.terminal import console

    keep_freed_memory()
    if device is Device.cuda:
        report = measure_gpu_scans(repeats, _announce)
    else:
        report = measure_scans(repeats=repeats, threads=threads, announce=_announce)
    console().print(*scan_tables(report), scan_caption(report), sep="\n", highlight=False)
    if json:
        write_json(json, report)


def window(
    model: Annotated[
        str, typer.Option(help="A name of `medssm models`, of a decoder at full resolution.")
    ] = "mamband-s",
    threads: Threads = None,
    repeats: Repeats = 7,
    json: Json = None,
) -> None:
    """Time one window through a network, beside the same network on plain MONAI and the reference scan."""
    from medssm.allocator import keep_freed_memory
    from medssm.benchmarks.report import write_json
    from medssm.benchmarks.tables import window_table
    from medssm.benchmarks.window import measure_window
    from medssm.cli.terminal import console

    keep_freed_memory()
    report = measure_window(model, repeats, threads)
    console().print(window_table(report))
    if json:
        write_json(json, report)


def predict(
    full: Annotated[bool, typer.Option("--full", help="160x160x128 voxels, 18 windows, instead of 2.")] = False,
    json: Json = None,
) -> None:
    """Time whole volumes to labels, beside plain MONAI with its sliding windows; and stitching alone."""
    from medssm.allocator import keep_freed_memory
    from medssm.benchmarks.predict import FULL, SMALL, measure
    from medssm.benchmarks.report import write_json
    from medssm.benchmarks.tables import predict_table
    from medssm.cli.terminal import console

    keep_freed_memory()
    report = measure(shape=FULL if full else SMALL)
    console().print(predict_table(report))
    if json:
        write_json(json, report)


def memory(json: Json = None) -> None:
    """Predict a scan of 512x512x1000 voxels and 14 classes in a process that cannot have more than 4 GiB."""
    from medssm.benchmarks.memory import measure_memory
    from medssm.benchmarks.report import write_json
    from medssm.benchmarks.tables import memory_table
    from medssm.cli.terminal import console

    report = measure_memory()
    console().print(memory_table(report))
    if json:
        write_json(json, report)


def _announce(row: "Row") -> None:
    """A row as it is done, on a terminal."""
    from medssm.benchmarks.tables import row_line
    from medssm.cli.terminal import notices

    notices().print(row_line(row), highlight=False)
