"""`medssm bench`: speed and memory beside what people would run otherwise, measured on this machine."""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medssm.cli.options import Precision
from medssm.waiting import keep_threads_awake

if TYPE_CHECKING:
    from medssm.benchmarks.models import Speed
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
        help="Measure speed and memory side by side with plain PyTorch, MONAI and timm.", no_args_is_help=True
    )
    commands: dict[str, Callable[..., None]] = {
        "scan": bench_scan,
        "window": bench_window,
        "predict": bench_predict,
        "memory": bench_memory,
        "start": bench_start,
        "threads": bench_threads,
        "model": bench_model,
        "zoo": bench_zoo,
    }
    for name, command in commands.items():
        group.command(name)(command)
    app.add_typer(group, name="bench")


def bench_scan(
    device: Annotated[Device, typer.Option(help="Where the scans run.")] = Device.cpu,
    threads: Threads = None,
    repeats: Repeats = 7,
    json: Json = None,
) -> None:
    """Time the scan kernels, and what share of this machine's own roof they reach.

    On the CPU beside the plain sequential scan in PyTorch (3 repetitions where one takes over 10 s; all of it takes
    about 5 minutes), beside permuting the tokens for each order of Mamba-ND, and beside torch's convolution. That
    sequential scan takes about as long as mamba_ssm's reference in linear time; one written for our layout of the
    tokens would take half. The scan over a grid is held beside a plain loop over anti-diagonals and, without a target,
    beside our own reference of it, which is two to three times faster. On a GPU beside mamba_ssm's CUDA kernel.

    Threads are bound to cores and wait actively, unless OMP_PROC_BIND and OMP_WAIT_POLICY say otherwise: a thread that
    is woken late takes longer than a small scan.
    """
    keep_threads_awake(STEADY_THREADS)  # read when torch is loaded, below
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


def bench_window(
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


def bench_predict(
    full: Annotated[bool, typer.Option("--full", help="160x160x128 voxels, 18 windows, instead of 2.")] = False,
    json: Json = None,
) -> None:
    """Time whole volumes to labels, beside plain MONAI with its sliding windows; and stitching alone."""
    from medssm.allocator import keep_freed_memory
    from medssm.benchmarks.predict import FULL, SMALL, measure_prediction
    from medssm.benchmarks.report import write_json
    from medssm.benchmarks.tables import predict_table
    from medssm.cli.terminal import console

    keep_freed_memory()
    report = measure_prediction(shape=FULL if full else SMALL)
    console().print(predict_table(report))
    if json:
        write_json(json, report)


def bench_memory(json: Json = None) -> None:
    """Predict a scan of 512x512x1000 voxels and 14 classes in a process that cannot have more than 4 GiB."""
    from medssm.benchmarks.memory import measure_memory
    from medssm.benchmarks.report import write_json
    from medssm.benchmarks.tables import memory_table
    from medssm.cli.terminal import console

    report = measure_memory()
    console().print(memory_table(report))
    if json:
        write_json(json, report)


def bench_start(
    repeats: Annotated[int, typer.Option(min=1, help="Of each command, taken in turn.")] = 5, json: Json = None
) -> None:
    """Time the start of commands: importing torch, listing the models, predicting up to the first window.

    Each runs in a fresh process, in turn, after one round that does not count. Seconds are the processor's, where the
    system tells them.
    """
    from medssm.benchmarks.report import write_json
    from medssm.benchmarks.start import measure_start
    from medssm.benchmarks.tables import start_table
    from medssm.cli.terminal import console

    report = measure_start(repeats)
    console().print(start_table(report))
    if json:
        write_json(json, report)


def bench_threads(repeats: Repeats = 7, json: Json = None) -> None:
    """Time threads that sleep while they wait for each other, as commands have them, beside threads that spin.

    A window of a small network, with each way in turn: on the machine as it is, then beside a busy program on each
    core. A verdict on the idle machine is given only if nothing else ran meanwhile.
    """
    from medssm.benchmarks.report import write_json
    from medssm.benchmarks.tables import waiting_table
    from medssm.benchmarks.waiting import measure_waiting
    from medssm.cli.terminal import console

    report = measure_waiting(repeats)
    console().print(waiting_table(report))
    if json:
        write_json(json, report)


def bench_model(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Of `medssm models`, or timm's with timm: before them.")
    ],
    batches: Annotated[
        str | None, typer.Option(help="Batch sizes, such as 1,8,32; by default 1,8 on the CPU, 1,32,128 on a GPU.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = Device.cpu,
    precision: Annotated[
        Precision | None, typer.Option(help="By default 16-mixed on a GPU, 32-true on the CPU.")
    ] = None,
    channels_last: Annotated[
        bool | None, typer.Option("--channels-last/--channels-first", help="By default last on a GPU only.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Side of images in pixels; by default each model's own.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="Seconds for a repetition's passes; by default 10 on the CPU only.")
    ] = None,
    peak: Annotated[bool, typer.Option("--memory/--no-memory", help="Measure peak memory, too.")] = True,
    threads: Threads = None,
    repeats: Repeats = 3,
    json: Json = None,
) -> None:
    """Time whole networks on images of noise, ours and timm's, and measure their peak memory.

    By MambaVision's protocol: evaluation mode, no gradients, 10 passes to warm up and 500 that count, one
    synchronisation at the end; on a GPU under float16 autocast with channels last. A budget of time, as the CPU has by
    default, makes passes fewer; the table says how many were run. On the CPU each figure of memory is what a fresh
    process grows by.
    """
    from medssm.allocator import keep_freed_memory
    from medssm.benchmarks.model_runs import Conditions
    from medssm.benchmarks.models import measure_models, parse_batches
    from medssm.benchmarks.report import write_json
    from medssm.benchmarks.tables import models_table
    from medssm.cli.terminal import console

    keep_freed_memory()
    conditions = Conditions(
        device=device.value,
        precision=precision.value if precision else None,
        channels_last=channels_last,
        size=(size, size) if size else None,
        budget=budget,
        threads=threads,
    )
    sizes = parse_batches(batches) if batches else None
    report = measure_models(names, sizes, conditions, repeats=repeats, memory=peak, announce=_announce_speed)
    console().print(models_table(report))
    if json:
        write_json(json, report)


def bench_zoo(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Of `medssm models`; by default all for images and clips."),
    ] = None,
    goldens: Annotated[
        Path | None, typer.Option(help="A folder of the official networks' outputs, to compare ours with.")
    ] = None,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Time each network, one input at a time.")] = True,
    markdown: Annotated[Path | None, typer.Option(help="Also write the table as Markdown.")] = None,
) -> None:
    """Set every network beside what its authors state: size, cost, logits, accuracy; and time it on this CPU.

    A second table has the detectors and segmenters that were published on them, with the precision on COCO's val2017
    and ADE20K's validation images. Multiply-adds are counted in the way that the authors count. Networks have random
    weights, but for the comparison of outputs, which needs the files of the project's tests (tests/models/golden).
    Timing all takes about 10 minutes.
    """
    from medssm.allocator import keep_freed_memory
    from medssm.benchmarks import dense_zoo
    from medssm.benchmarks import zoo as benchmark
    from medssm.cli.terminal import notices
    from medssm.files import atomic_path

    keep_freed_memory()

    def announce(name: str) -> None:
        notices().print(name, highlight=False)

    rows = benchmark.measure_zoo(names or (), goldens, speed, announce)
    _print_cells(benchmark.HEADINGS, [row.cells() for row in rows])
    dense_rows = dense_zoo.measure_dense_zoo(names or (), goldens, announce)
    if dense_rows:
        _print_cells(dense_zoo.HEADINGS, [row.cells() for row in dense_rows])
    if markdown:
        tables = [benchmark.zoo_table(rows), *([dense_zoo.dense_table(dense_rows)] if dense_rows else [])]
        with atomic_path(markdown) as temporary:
            temporary.write_text("\n\n".join(tables) + "\n", encoding="utf-8")


def _print_cells(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table

    from medssm.cli.terminal import console

    table = Table(*headings)
    for cells in rows:
        table.add_row(*cells)
    console().print(table)


def _announce(row: "Row") -> None:
    """A row as it is done, on a terminal."""
    from medssm.benchmarks.tables import row_line
    from medssm.cli.terminal import notices

    notices().print(row_line(row), highlight=False)


def _announce_speed(speed: "Speed") -> None:
    from medssm.benchmarks.tables import speed_line
    from medssm.cli.terminal import notices

    notices().print(speed_line(speed), highlight=False)
