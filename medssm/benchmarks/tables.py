"""Reports of benchmarks as tables for the terminal."""

import statistics
from itertools import groupby

from rich.table import Table

from medssm.benchmarks.memory import GIB, MemoryReport
from medssm.benchmarks.models import ModelsReport, Speed
from medssm.benchmarks.pairs import Pairs, Spread
from medssm.benchmarks.predict import PredictReport
from medssm.benchmarks.scan import OrderSummary, Row, ScanReport
from medssm.benchmarks.start import MODELS, PREDICT, StartReport
from medssm.benchmarks.targets import AGREEMENT, SOURCE
from medssm.benchmarks.waiting import ASLEEP, SPINNING, WaitingReport
from medssm.benchmarks.window import WINDOW, WindowReport

RATIO = "ratio min / median / max"
SCAN_COLUMNS = ("ours (ms)", "other (ms)", RATIO, "target", "share of roof", "of memory", "difference")
PAIR_COLUMNS = ("ours (s)", "other (s)", RATIO, "target")
VERDICTS = {True: "yes", False: "NO", None: "-"}


def scan_tables(report: ScanReport) -> list[Table]:
    """One for each operator, then one for the orders of each grid together."""
    tables = []
    for (operator, beside), rows in groupby(report.rows, key=lambda row: (row.operator, row.beside)):
        table = _table(f"{operator} beside: {beside}", ("size", "direction"), SCAN_COLUMNS)
        for row in rows:
            table.add_row(*_scan_cells(row, report.read_rate), VERDICTS[row.reached])
        tables.append(table)
    if report.orders:
        columns = ("slowest", "target", "geometric mean", "target")
        table = _table("orders of Mamba-ND together", ("grid", "direction"), columns)
        for summary in report.orders:
            table.add_row(*_order_cells(summary), VERDICTS[summary.reached])
        tables.append(table)
    return tables


def scan_caption(report: ScanReport) -> str:
    """Where the figures come from."""
    text = f"{report.machine}; medians, taken in turn; targets, of the share in brackets, are {SOURCE}"
    if report.rates is None or report.read_rate is None:
        return text
    exp, fma, read = report.rates.exp / 1e9, report.rates.fma / 1e9, report.read_rate / 1e9
    return f"{text}\nthe roof, sampled in turn with them: {exp:.1f} G exp/s, {fma:.0f} G FMA/s; reading {read:.1f} GB/s"


def row_line(row: Row) -> str:
    """One row as a line, for those who wait."""
    ratios = f"{_spread(row.times.ratios)} times faster than" if row.times.ratios else "alone:"
    return f"{row.operator}, {row.size}, {_direction(row.backward)}: {ratios} {row.beside}"


def window_table(report: WindowReport) -> Table:
    """The window and its parts."""
    table = _table(f"One window through {report.model} on {report.machine}", ("part",), PAIR_COLUMNS)
    for part, times in report.parts.items():
        target = report.target if part == WINDOW else None
        table.add_row(part, *_pair_cells(times, target), _verdict(times, target, report.agreement))
    table.caption = f"beside plain MONAI; labels agree in {report.agreement:.4%} of the voxels"
    return table


def predict_table(report: PredictReport) -> Table:
    """Whole volumes, with the network and with a cheap one."""
    columns = ("volume", "windows", *PAIR_COLUMNS, "same labels")
    table = _table(f"Volumes on {report.machine}", ("network",), columns)
    for name, volume in ((report.model, report.network), ("stitching alone", report.stitching)):
        shape = "x".join(str(n) for n in volume.shape)
        cells = _pair_cells(volume.times, volume.target)
        verdict = _verdict(volume.times, volume.target, volume.agreement)
        table.add_row(name, shape, str(volume.windows), *cells, f"{volume.agreement:.4%}", verdict)
    table.caption = "beside plain MONAI and its sliding_window_inference"
    return table


def memory_table(report: MemoryReport) -> Table:
    """Bytes of one prediction under a hard limit."""
    table = Table(title=f"Memory of a prediction on {report.machine}", title_justify="left", show_header=False)
    shape = "x".join(str(n) for n in report.shape)
    table.add_row("scan", f"{shape}, {report.classes} classes: scores alone would be {report.scores / GIB:.2f} GiB")
    table.add_row("limit", f"{report.limit / GIB:.2f} GiB, hard")
    table.add_row("peak", f"{report.peak / GIB:.2f} GiB")
    table.add_row(
        "estimate", f"{report.estimate / GIB:.2f} GiB, {report.windows} windows, passes of the volume: {report.passes}"
    )
    table.add_row("time", f"{report.seconds:.0f} s")
    return table


def start_table(report: StartReport) -> Table:
    """Seconds until something happens, what was started a row."""
    targets = {MODELS: f"{report.models_target:g} s", PREDICT: f"{report.predict_target:g} s beyond torch"}
    table = _table(f"Start of commands on {report.machine}", ("what",), ("s, min / median / max", "target"))
    for what, (least, middle, most) in report.spreads.items():
        cells = f"{least:.2f} / {middle:.2f} / {most:.2f}", targets.get(what, "-")
        table.add_row(what, *cells, VERDICTS[report.reached.get(what)])
    table.caption = f"a prediction's first window comes {report.beyond_torch:.2f} s after torch alone is imported"
    return table


def waiting_table(report: WaitingReport) -> Table:
    """Ways of waiting, alone and beside busy programs."""
    columns = ("s a window, min / median / max", "of the processor", "others took", "threads that sleep take")
    table = _table(f"Waiting threads on {report.machine}", ("machine", "way"), columns)
    for state, ways in report.samples.items():
        for way, samples in ways.items():
            _, processor, others = (statistics.median(figures) for figures in zip(*samples, strict=True))
            ratio = "-" if way == ASLEEP else f"{_spread(report.slower(state, way))} times as long"
            verdict = VERDICTS[report.reached[state] if way == SPINNING else None]
            cells = _spread(report.seconds(state, way)), f"{_number(processor)} s", f"{others:.0%}", ratio
            table.add_row(state, way, *cells, verdict)
    table.caption = f"at most {1 + report.target:g} times as long alone, and no longer beside busy programs, is the aim"
    return table


def models_table(report: ModelsReport) -> Table:
    """Networks, batch size by batch size."""
    conditions = report.conditions
    layout = ", channels last" if conditions.channels_last else ""
    table = Table(title=f"Networks on {report.machine}; {conditions.precision}{layout}")
    table.title_justify = table.caption_justify = "left"
    table.add_column("model")
    for column in ("parameters", "input", "batch", "images/s (min - max)", "peak memory", "passes"):
        table.add_column(column, justify="right")
    for speed in report.speeds:
        shape = "x".join(str(side) for side in speed.shape)
        figures = _images_per_second(speed), _bytes(speed.peak_memory), _passes(speed)
        table.add_row(speed.model, f"{speed.parameters / 1e6:.1f} M", shape, str(speed.batch), *figures)
    table.caption = (
        "evaluation mode, no gradients, standard-normal input; medians of repetitions taken in turn; passes are "
        "repetitions x passes that count (+ warm-up), synchronised at their end"
    )
    return table


def speed_line(speed: Speed) -> str:
    """One network at one batch size as a line, for those who wait."""
    return f"{speed.model}, batch {speed.batch}: {_images_per_second(speed)} images/s"


def _images_per_second(speed: Speed) -> str:
    found = speed.images_per_second
    if found is None:
        return "out of memory"
    return f"{_number(found.median)} ({_number(found.min)} - {_number(found.max)})"


def _passes(speed: Speed) -> str:
    return f"{len(speed.seconds)} x {speed.passes} (+{speed.warm_up})" if speed.seconds else "-"


def _bytes(count: int | None) -> str:
    return "-" if count is None else f"{count / (1 << 20):,.0f} MiB"


def _table(title: str, texts: tuple[str, ...], figures: tuple[str, ...]) -> Table:
    """With a last column for the verdict."""
    table = Table(*texts, title=title, title_justify="left", caption_justify="left")
    for figure in figures:
        table.add_column(figure, justify="right")
    table.add_column("reached")
    return table


def _scan_cells(row: Row, read_rate: float | None) -> tuple[str, ...]:
    share = "-" if row.shares is None else f"{row.shares.median:.0%}"
    asked = "" if row.target.share is None else f" ({row.target.share:.0%})"
    figures = (*_seconds(row.times, 1000), _spread(row.times.ratios), _number(row.target.ratio))
    memory = "-"
    if row.bytes is not None and read_rate is not None:
        memory = f"{row.bytes / read_rate / statistics.median(row.times.ours):.0%}"
    return row.size, _direction(row.backward), *figures, share + asked, memory, f"{row.difference:.0e}"


def _order_cells(summary: OrderSummary) -> tuple[str, ...]:
    figures = (summary.lowest, summary.lowest_target, summary.mean, summary.mean_target)
    return summary.size, _direction(summary.backward), *(_number(figure) for figure in figures)


def _pair_cells(times: Pairs, target: float | None) -> tuple[str, ...]:
    return *_seconds(times, 1), _spread(times.ratios), _number(target)


def _verdict(times: Pairs, target: float | None, agreement: float) -> str:
    if target is None or times.ratios is None:
        return VERDICTS[None]
    return VERDICTS[times.ratios.median >= target and agreement >= AGREEMENT]


def _seconds(times: Pairs, unit: float) -> tuple[str, str]:
    ours, other = (f"{sorted(side)[len(side) // 2] * unit:.3g}" if side else "-" for side in (times.ours, times.other))
    return ours, other


def _spread(figures: Spread | None) -> str:
    return "-" if figures is None else " / ".join(_number(figure) for figure in figures)


def _number(figure: float | None) -> str:
    """Three digits, but all those before the point."""
    if figure is None:
        return "-"
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


def _direction(backward: bool) -> str:
    return "with backward" if backward else "forward"
