"""Normalisation over the batches of two processes beside BatchNorm over one batch of both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from medssm.models.synchronised import SynchronisedBatchNorm2d

SHARES = [1, 3]  # images of either process


@pytest.fixture(scope="module")
def stepped(tmp_path_factory):
    """The plain norm after a step on all images, the inputs, and what each of two processes holds after it."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.manual_seed(0)
    images, weights = 5 + 0.1 * torch.randn(4, 3, 5, 7), torch.randn(4, 3, 5, 7)
    norm = nn.BatchNorm2d(3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    given = {"norm": norm.state_dict(), "images": images, "weights": weights, "shares": SHARES}
    torch.save(given, folder / "given.pt")
    script = Path(__file__).with_name("normalised_ranks.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(script), str(folder / "given.pt"), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    images.requires_grad_()
    output = norm(images)
    (output * weights).sum().backward()
    ranks = [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    return norm, output.detach(), images.grad, ranks


def test_two_processes_normalise_as_one_with_both_batches(stepped):
    _, output, _, ranks = stepped
    for ours, expected in zip(ranks, output.split(SHARES), strict=True):
        torch.testing.assert_close(ours["output"], expected, rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_one_process(stepped):
    norm, _, gradient, ranks = stepped
    for ours, expected in zip(ranks, gradient.split(SHARES), strict=True):
        # The loss of either process is doubled against the averaging of the parameters' gradients.
        torch.testing.assert_close(ours["images"] / 2, expected, rtol=1e-4, atol=1e-3)
        for name, parameter in norm.named_parameters():
            torch.testing.assert_close(ours["gradients"][name], parameter.grad, rtol=1e-4, atol=1e-4)


def test_every_process_keeps_the_statistics_of_one(stepped):
    norm, _, _, ranks = stepped
    for ours in ranks:
        for name, value in norm.state_dict().items():
            torch.testing.assert_close(ours["norm"][name], value, rtol=1e-5, atol=1e-6)


def test_one_process_has_plain_batch_norm_and_its_entries():
    torch.manual_seed(0)
    ours, plain = SynchronisedBatchNorm2d(3), nn.BatchNorm2d(3)
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(ours(x), plain(x))
    for (name, value), (expected_name, expected) in zip(
        ours.state_dict().items(), plain.state_dict().items(), strict=True
    ):
        assert name == expected_name
        assert torch.equal(value, expected)
