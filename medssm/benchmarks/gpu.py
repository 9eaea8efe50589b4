"""The triton scan on a GPU, held to the reference's results and beside mamba_ssm's own CUDA kernel."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from medssm.benchmarks.machine import this_machine
from medssm.benchmarks.orders import ORDERS, permuting, walking
from medssm.benchmarks.pairs import Side, largest_difference, time_pairs
from medssm.benchmarks.scan import ND_SCAN, SCAN, Row, ScanReport, Sizes, plain_scan, summarise_orders
from medssm.benchmarks.scan_inputs import Scan, ScanInputs, Size, make_inputs, scan_side
from medssm.benchmarks.targets import GPU, Target
from medssm.errors import MedssmError
from medssm.kernels import operators, selective_scan

DEVICE = "cuda"
SIZES = Sizes(
    lines=(Size((216,), 768), Size((784,), 768), Size((32768,), 192)),
    grids=(Size((6, 6, 6), 768), Size((32, 32, 32), 192)),
    convolutions=(),
)


def measure_gpu_scans(repeats: int = 7, announce: Callable[[Row], None] | None = None) -> ScanReport:
    """Times every row on the GPU; each row's `difference` is that of triton's results and the reference's.

    Where mamba_ssm is not installed its column says so.

    Raises: MedssmError without a GPU, or where triton cannot run on it.
    """
    if not torch.cuda.is_available():
        raise MedssmError("torch finds no CUDA device here; leave out --device cuda to measure the CPU")
    if reason := _unavailable("triton"):
        raise MedssmError(f"there is nothing to measure without the triton kernels: {reason}")
    rows = []
    for row in _rows(repeats):
        rows.append(row)
        if announce:
            announce(row)
    return ScanReport(this_machine(DEVICE), None, None, tuple(rows), summarise_orders(rows, SIZES, {}))


def by_the_device(side: Side, calls: int) -> float:
    """The mean time of a call between two events on the GPU."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(calls):
        side()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000 / calls


def _rows(repeats: int) -> Iterator[Row]:
    for size in SIZES.lines:
        for backward in (False, True):
            yield _row(SCAN, str(size), size, backward, _triton_scan, plain_scan, _mamba_scan, repeats)
    for size in SIZES.grids:
        for backward in (False, True):
            for order in ORDERS:
                ours = walking(size.shape, order, "triton")
                expected = permuting(size.shape, order, _triton_scan, channels_last=True)
                permuted = permuting(size.shape, order, _mamba_scan, channels_last=False)
                yield _row(ND_SCAN, f"{size}, {order}", size, backward, ours, expected, permuted, repeats)


def _row(
    operator: str, title: str, size: Size, backward: bool, ours: Scan, expected: Scan, mamba: Scan, repeats: int
) -> Row:
    inputs = make_inputs(size, DEVICE)
    ours_side = scan_side(ours, inputs, backward)
    difference = largest_difference(ours_side(), scan_side(expected, inputs, backward)())
    reason = _unavailable("mamba_ssm")
    other = None if reason else scan_side(mamba, _channels_first(inputs), backward)
    times, _ = time_pairs(ours_side, other, repeats, clock=by_the_device)
    return Row(operator, title, backward, reason or "mamba_ssm", times, difference, Target(GPU))


def _channels_first(inputs: ScanInputs) -> ScanInputs:
    """The layout for which mamba_ssm's kernel was written."""
    return ScanInputs(*(x.contiguous() for x in inputs))


def _triton_scan(x: ScanInputs) -> Tensor:
    return selective_scan(*x, dt_softplus=True, backend="triton")


def _mamba_scan(x: ScanInputs) -> Tensor:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u, dt, A, B, C, D, z, dt_bias = x
    return selective_scan_fn(u, dt, A, B, C, D, z=z, delta_bias=dt_bias, delta_softplus=True)


def _unavailable(backend: str) -> str | None:
    return operators()[SCAN].backend(backend).unavailable(torch.device(DEVICE))
