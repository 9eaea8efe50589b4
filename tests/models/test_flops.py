"""Multiply-adds beside figures worked out independently."""

import pytest

from medssm.models.flops import model_cost

# 10^9 multiply-adds and state updates of a 96^3 window with all 24 blocks: encoder, the rest, the scans.
WORKED_OUT = {
    "mamband-s": (384, 5.26, 210.77, 0.064),
    "mamband-s-plus": (512, 9.14, 210.92, 0.085),
    "mamband-b-32": (768, 20.08, 211.23, 0.127),
    "mamband-b-64": (768, 20.08, 840.68, 0.127),
}


@pytest.mark.parametrize("name", WORKED_OUT)
def test_the_published_variants_cost_what_was_worked_out(name):
    d, encoder, rest, updates = WORKED_OUT[name]
    cost = model_cost(name)
    rank = -(-d // 16)
    # The 24th block is not run: its products and its convolution, for each of 216 tokens, are not spent.
    block = 216 * (4 * d * d + 4 * 2 * d + 2 * d * (rank + 32) + rank * 2 * d + 2 * d * d)
    assert (cost.parts["vit"] + block) / 1e9 == pytest.approx(encoder, abs=0.005)
    assert (cost.multiply_adds - cost.parts["vit"]) / 1e9 == pytest.approx(rest, abs=0.005)
    assert cost.state_updates * 24 / 23 / 1e9 == pytest.approx(updates, abs=0.0005)


def test_cost_grows_with_the_volume():
    once, eight_times = model_cost("mamband-xs"), model_cost("mamband-xs", (96, 96, 96))
    assert eight_times.multiply_adds == 8 * once.multiply_adds
    assert eight_times.state_updates == 8 * once.state_updates
