"""The scans of Mamba blocks beside what people would run otherwise, one size and direction a row.

On the CPU the other side of `selective_scan` is the reference kernel under autograd: the plain sequential loop over
the tokens, in time linear in their number. A literal transcription of mamba_ssm's `selective_scan_ref`, its time axis
unbound, takes 0.6 to 1.5 times as long; a loop written for channels-last tokens about half.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from medssm.benchmarks import targets
from medssm.benchmarks.machine import Machine, this_machine
from medssm.benchmarks.orders import ORDERS, permuting, walking
from medssm.benchmarks.pairs import Pairs, Side, Spread, spread, time_pairs
from medssm.benchmarks.roof import Rates, Roof
from medssm.benchmarks.scan_inputs import ScanInputs, Size, make_inputs, scan_side
from medssm.benchmarks.states import STATE_SCAN, Case, fusion_case, scan_case
from medssm.benchmarks.targets import Target
from medssm.benchmarks.threads import torch_threads
from medssm.benchmarks.wavefront import kernel_scan, least_seconds, make_wavefront_inputs, plain_loop, wavefront_side
from medssm.errors import MedssmError
from medssm.kernels import causal_conv1d, native, selective_scan
from medssm.kernels.grid import make_grid
from medssm.kernels.selective_scan import _reference
from medssm.kernels.selective_scan._tensors import ScanTensors

SCAN, ND_SCAN, CONV = "selective_scan", "nd_selective_scan", "causal_conv1d"
WAVEFRONT, PLAIN_LOOP = "wavefront_scan", "plain anti-diagonal loop"
CONVOLUTIONS = "torch pad + conv2d, one a dilation"
REFERENCE, PERMUTED, TORCH = "reference scan", "permute, flip, copy, scan, back", "torch conv1d + silu"


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Scans along a line, along all orders of a grid, convolutions, scans with two neighbours, scans that give their
    states, and the fusion of those.
    """

    lines: tuple[Size, ...]
    grids: tuple[Size, ...]
    convolutions: tuple[Size, ...]
    wavefronts: tuple[Size, ...] = ()
    states: tuple[Size, ...] = ()
    fusions: tuple[Size, ...] = ()

    @property
    def rows(self) -> int:
        scans = 2 * len(self.lines) + 2 * len(ORDERS) * len(self.grids) + 3 * len(self.wavefronts)
        return scans + len(self.convolutions) + 2 * len(self.states) + 2 * len(self.fusions)


SIZES = Sizes(
    lines=(Size((216,), 768), Size((216,), 1536), Size((196,), 160, 8, 64), Size((784,), 768), Size((32768,), 192)),
    grids=(Size((6, 6, 6), 768), Size((32, 32, 32), 192)),
    convolutions=(Size((216,), 768), Size((784,), 768), Size((32768,), 192)),
    wavefronts=(Size((14, 14), 384), Size((28, 28), 192), Size((56, 56), 96)),
    states=(Size((3136,), 128, 1), Size((3136,), 128, 1, 8)),
    fusions=(Size((56, 56), 128, 1), Size((14, 14), 512, 1, 8)),
)


@dataclass(frozen=True)
class Row:
    """One size and direction.

    Attributes:
        beside: what the other side is, or why there is none.
        difference: of the results, the largest, relative to the largest entry.
        shares: of the roof, over the repetitions; None where no roof is known.
        bytes: the least that has to be read and written; None where it is no limit.
    """

    operator: str
    size: str
    backward: bool
    beside: str
    times: Pairs
    difference: float
    target: Target
    shares: Spread | None = None
    bytes: int | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the medians are at their targets; None where there is no target."""
        return all_reached(
            (self.times.ratios and self.times.ratios.median, self.target.ratio),
            (self.shares and self.shares.median, self.target.share),
        )


@dataclass(frozen=True)
class OrderSummary:
    """All orders of a grid together: the ratio of the slowest, and the geometric mean, with their targets."""

    size: str
    backward: bool
    lowest: float
    mean: float
    lowest_target: float | None
    mean_target: float | None

    @property
    def reached(self) -> bool | None:
        """Whether both are at their targets; None where there is no target."""
        return all_reached((self.lowest, self.lowest_target), (self.mean, self.mean_target))


@dataclass(frozen=True)
class ScanReport:
    """What `measure_scans` found.

    Attributes:
        rates: the machine's own, the best of many samples taken in turn with the kernels.
        read_rate: bytes a second from memory. Both None on a GPU.
    """

    machine: Machine
    rates: Rates | None
    read_rate: float | None
    rows: tuple[Row, ...]
    orders: tuple[OrderSummary, ...]


def all_reached(*figures: tuple[float | None, float | None]) -> bool | None:
    """Whether every figure that has a target is at it; None if none has both."""
    judged = [figure >= target for figure, target in figures if figure is not None and target is not None]
    return all(judged) if judged else None


def measure_scans(
    sizes: Sizes | None = None,
    repeats: int = 7,
    threads: int | None = None,
    announce: Callable[[Row], None] | None = None,
) -> ScanReport:
    """Times every row on the CPU, both sides in turn.

    Args:
        sizes: None for SIZES.
        repeats: of each side; 3 where one takes more than 10 s.
        threads: None for as many as torch uses.
        announce: called with each row as it is done.

    Raises: MedssmError if the native kernels are not there.
    """
    if reason := native.unavailable():
        raise MedssmError(f"there is nothing to measure without the native kernels: {reason}")
    sizes = sizes or SIZES
    with torch_threads(threads):
        bench = _CpuBench(repeats)
        rows = []
        for row in bench.rows(sizes):
            rows.append(row)
            if announce:
                announce(row)
        return ScanReport(
            machine=this_machine(),
            rates=bench.roof.best,
            read_rate=bench.roof.read_rate(),
            rows=tuple(rows),
            orders=summarise_orders(rows, sizes, targets.ORDERS),
        )


def summarise_orders(rows: Sequence[Row], sizes: Sizes, mean_targets: targets.Means) -> tuple[OrderSummary, ...]:
    """One summary for each grid and direction that has ratios; `mean_targets` are those of the geometric means."""
    summaries = []
    for size in sizes.grids:
        for backward in (False, True):
            found = [row for row in rows if row.size.startswith(f"{size}, ") and row.backward == backward]
            medians = [row.times.ratios.median for row in found if row.times.ratios]
            if medians:
                lowest, mean = min(medians), statistics.geometric_mean(medians)
                target = mean_targets.get((size.length, backward))
                summaries.append(OrderSummary(str(size), backward, lowest, mean, found[0].target.ratio, target))
    return tuple(summaries)


class _CpuBench:
    """Measures rows, and the machine's rates in turn with them."""

    def __init__(self, repeats: int) -> None:
        self.repeats = repeats
        self.roof = Roof()

    def rows(self, sizes: Sizes) -> Iterator[Row]:
        for size in sizes.lines:
            yield from (self._line(size, backward) for backward in (False, True))
        for size in sizes.grids:
            for backward in (False, True):
                yield from self._orders(size, backward)
        yield from (self._convolution(size) for size in sizes.convolutions)
        yield from (self._wavefront(size, PLAIN_LOOP, False) for size in sizes.wavefronts)
        for size in sizes.wavefronts:
            yield from (self._wavefront(size, REFERENCE, backward) for backward in (False, True))
        for case, sizes_of_case in ((scan_case, sizes.states), (fusion_case, sizes.fusions)):
            for size in sizes_of_case:
                yield from (self._states(case(size), size, backward) for backward in (False, True))

    def _line(self, size: Size, backward: bool) -> Row:
        inputs = make_inputs(size)
        ours, other = (scan_side(scan, inputs, backward) for scan in (_native_scan, plain_scan))
        target = targets.scan_target(size.length, backward, native.selected_isa())
        return self._row(SCAN, str(size), size, backward, REFERENCE, ours, other, target)

    def _orders(self, size: Size, backward: bool) -> Iterator[Row]:
        inputs = make_inputs(size)
        for order in ORDERS:
            ours = scan_side(walking(size.shape, order, "native"), inputs, backward)
            permuted = permuting(size.shape, order, _native_scan, channels_last=True)
            other = scan_side(permuted, inputs, backward)
            target = Target() if backward else Target(targets.SLOWEST_ORDER)
            yield self._row(ND_SCAN, f"{size}, {order}", size, backward, PERMUTED, ours, other, target)

    def _row(
        self,
        operator: str,
        title: str,
        size: Size,
        backward: bool,
        beside: str,
        ours: Side,
        other: Side,
        target: Target,
    ) -> Row:
        times, difference = time_pairs(ours, other, self.repeats, between=self.roof.sample)
        least = self.roof.best.scan_seconds(size.batch, size.dim, size.length, size.state, backward)
        shares = spread([least / taken for taken in times.ours])
        return Row(operator, title, backward, beside, times, difference, target, shares)

    def _wavefront(self, size: Size, beside: str, backward: bool) -> Row:
        inputs = make_wavefront_inputs(size)
        scans = (
            kernel_scan(size, "native"),
            plain_loop(size) if beside == PLAIN_LOOP else kernel_scan(size, "reference"),
        )
        ours, other = (wavefront_side(scan, inputs, backward) for scan in scans)
        times, difference = time_pairs(ours, other, self.repeats, between=self.roof.sample)
        least = least_seconds(self.roof.best, size, backward)
        shares = spread([least / taken for taken in times.ours])
        is_asked = beside == PLAIN_LOOP and size in SIZES.wavefronts
        target = targets.wavefront_target(native.selected_isa()) if is_asked else Target()
        return Row(WAVEFRONT, str(size), backward, beside, times, difference, target, shares)

    def _states(self, case: Case, size: Size, backward: bool) -> Row:
        times, difference = time_pairs(*case.sides(backward), self.repeats, between=self.roof.sample)
        cost = case.cost(backward)
        shares = spread([cost.seconds(self.roof.best) / taken for taken in times.ours])
        is_scan = case.operator == STATE_SCAN
        target = targets.state_scan_target(size.length, backward, native.selected_isa()) if is_scan else Target()
        beside = REFERENCE if is_scan else CONVOLUTIONS
        return Row(case.operator, str(size), backward, beside, times, difference, target, shares, cost.bytes)

    def _convolution(self, size: Size) -> Row:
        x = make_inputs(size).z
        weight, bias = torch.randn(size.dim, 4), torch.randn(size.dim)
        planar = x.contiguous()  # torch is faster on channels-first tokens
        ours = _without_gradients(lambda: causal_conv1d(x, weight, bias, activation="silu", backend="native"))
        other = _without_gradients(lambda: plain_convolution(planar, weight, bias))
        times, difference = time_pairs(ours, other, self.repeats)
        return Row(CONV, f"L={size.length}, dim {size.dim}, width 4", False, TORCH, times, difference, Target())


def plain_scan(x: ScanInputs) -> Tensor:
    """The equation token by token, (batch, dim, length), differentiable."""
    u, dt, A, B, C, D, z, dt_bias = x
    line = make_grid(u.shape[2], None, None, False)
    return _reference.scan_equation(ScanTensors(u, dt, A, B[:, None], C[:, None], D, z, dt_bias), True, line)[0]


def plain_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The causal convolution of a Mamba block by torch's own operators; x is (batch, dim, length)."""
    dim, width = weight.shape
    y = functional.conv1d(x, weight[:, None], bias, padding=width - 1, groups=dim)
    return functional.silu(y[..., : x.shape[2]])


def _native_scan(x: ScanInputs) -> Tensor:
    return selective_scan(*x, dt_softplus=True, backend="native")


def _without_gradients(compute: Callable[[], Tensor]) -> Side:
    def side() -> list[Tensor]:
        with torch.no_grad():
            return [compute()]

    return side
