"""The blocks of the UNETR assembly beside MONAI's: the same entries, start, outputs and gradients."""

import pytest
import torch
from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock

from medssm.benchmarks.plain import monai_block
from medssm.models.unetr import ImageBlock, OutBlock, TokenBlock, UpBlock

BLOCKS = {
    "image": (
        lambda: ImageBlock(1, 4, (1, 1, 1)),
        lambda: UnetrBasicBlock(3, 1, 4, 3, 1, "instance", res_block=True),
        [(2, 1, 6, 4, 5)],
    ),
    "image of stride 2": (
        lambda: ImageBlock(1, 4, (2, 2, 2)),
        lambda: UnetrBasicBlock(3, 1, 4, 3, 2, "instance", res_block=True),
        [(2, 1, 6, 4, 8)],
    ),
    "image of as many channels": (
        lambda: ImageBlock(4, 4, (1, 1, 1)),
        lambda: UnetrBasicBlock(3, 4, 4, 3, 1, "instance", res_block=True),
        [(2, 4, 6, 4, 5)],
    ),
    "tokens": (
        lambda: TokenBlock(6, 4, [(2, 2, 2)] * 3),
        lambda: UnetrPrUpBlock(3, 6, 4, 2, 3, 1, 2, "instance", conv_block=True, res_block=True),
        [(2, 6, 2, 1, 3)],
    ),
    "tokens without blocks": (
        lambda: TokenBlock(6, 4, [(2, 2, 2)]),
        lambda: UnetrPrUpBlock(3, 6, 4, 0, 3, 1, 2, "instance", conv_block=True, res_block=True),
        [(2, 6, 2, 1, 3)],
    ),
    "up": (
        lambda: UpBlock(6, 4, (2, 2, 2)),
        lambda: UnetrUpBlock(3, 6, 4, 3, 2, "instance", res_block=True),
        [(2, 6, 2, 1, 3), (2, 4, 4, 2, 6)],
    ),
    "up in plane": (
        lambda: UpBlock(6, 4, (1, 2, 2)),
        lambda: UnetrUpBlock(3, 6, 4, 3, (1, 2, 2), "instance", res_block=True),
        [(2, 6, 2, 1, 3), (2, 4, 2, 2, 6)],
    ),
    "image of a stride in plane": (
        lambda: ImageBlock(1, 4, (1, 2, 2)),
        lambda: UnetrBasicBlock(3, 1, 4, 3, (1, 2, 2), "instance", res_block=True),
        [(2, 1, 6, 4, 8)],
    ),
    "out": (lambda: OutBlock(4, 3), lambda: UnetOutBlock(3, 4, 3), [(2, 4, 3, 2, 5)]),
}


def outcome(block, shapes):
    """Output of a block for seeded inputs, and its gradients to them and to the parameters by their entries."""
    torch.manual_seed(1)
    inputs = [torch.randn(shape, requires_grad=True) for shape in shapes]
    y = block(*inputs)
    y.mul(torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
    gradients = {entry: parameter.grad for entry, parameter in block.named_parameters()}
    return {"y": y.detach(), **{f"input {n}": x.grad for n, x in enumerate(inputs)}, **gradients}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_those_of_monai(name):
    build, build_theirs, shapes = BLOCKS[name]
    torch.manual_seed(0)
    ours = build()
    torch.manual_seed(0)
    theirs = build_theirs()
    start, expected = ours.state_dict(), theirs.state_dict()
    assert list(start) == list(expected)
    assert all(torch.equal(start[entry], expected[entry]) for entry in expected)
    torch.testing.assert_close(outcome(ours, shapes), outcome(theirs, shapes), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BLOCKS)
def test_monais_block_is_made_with_our_parameters(name):
    build, build_theirs, _ = BLOCKS[name]
    ours = build()
    plain = monai_block(ours)
    assert type(plain) is type(build_theirs())
    pairs = zip(ours.parameters(), plain.parameters(), strict=True)
    assert all(a.data_ptr() == b.data_ptr() for a, b in pairs)
