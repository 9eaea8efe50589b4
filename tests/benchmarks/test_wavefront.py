"""The benchmark of the scan over a grid, at a size that takes milliseconds."""

import math

import pytest
import torch

from medssm.benchmarks.roof import Rates
from medssm.benchmarks.scan import PLAIN_LOOP, REFERENCE, SIZES, WAVEFRONT, Sizes, measure_scans
from medssm.benchmarks.scan_inputs import Size
from medssm.benchmarks.targets import Target, wavefront_target
from medssm.benchmarks.wavefront import kernel_scan, least_seconds, make_wavefront_inputs, plain_loop, wavefront_side
from medssm.kernels import native


@pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))
def test_every_row_agrees_with_its_other_side_and_has_a_share() -> None:
    sizes = Sizes((), (), (), (Size((3, 4), 16, 4, 2), Size((5, 2), 8)))
    report = measure_scans(sizes, repeats=2, threads=1)
    assert len(report.rows) == sizes.rows == 6
    assert [(row.beside, row.backward) for row in report.rows] == [(PLAIN_LOOP, False)] * 2 + [
        (REFERENCE, backward) for backward in (False, True)
    ] * 2
    for row in report.rows:
        assert row.operator == WAVEFRONT
        assert row.difference < 1e-4
        assert row.shares is not None
        assert 0 < row.shares.min <= row.shares.max
        assert row.target == Target()  # asked for at the sizes of the networks only


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (1, 4), (4, 1)])
def test_the_plain_loop_computes_the_scan_and_its_gradients(shape: tuple[int, int]) -> None:
    size = Size(shape, 8, state=4, batch=2)
    inputs = make_wavefront_inputs(size)
    for backward in (False, True):
        plain = wavefront_side(plain_loop(size), inputs, backward)()
        reference = wavefront_side(kernel_scan(size, "reference"), inputs, backward)()
        for mine, theirs in zip(plain, reference, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_least_time_counts_two_exponentials_a_state() -> None:
    only_exp, only_fma = Rates(exp=1.0, fma=math.inf), Rates(exp=math.inf, fma=1.0)
    size = Size((3, 5), 7, state=11, batch=2)  # 2 * 7 * 15 = 210 channels of cells
    assert least_seconds(only_exp, size, False) == 210 * 11 * 2 + 210 * 2
    assert least_seconds(only_fma, size, False) == 210 * 11 * 7 + 210 * 24
    assert least_seconds(only_exp, size, True) == 210 * 11 * 4 + 210 * 6
    assert least_seconds(only_fma, size, True) == 210 * 11 * 28 + 210 * 84


def test_targets_are_halved_without_avx512() -> None:
    assert wavefront_target("avx512") == Target(75)
    assert wavefront_target("avx2") == Target(37.5)
    assert wavefront_target("baseline") == Target()


def test_sizes_are_those_of_the_stages() -> None:
    assert [(size.shape, size.dim, size.state) for size in SIZES.wavefronts] == [
        ((14, 14), 384, 16),
        ((28, 28), 192, 16),
        ((56, 56), 96, 16),
    ]
