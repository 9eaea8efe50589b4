"""A network of ours as one would write it on plain MONAI: its blocks, the reference scan, our weights.

Tensors are (B, C, D, H, W).
"""

import torch
from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from torch import Tensor, nn

from medssm.errors import UsageError
from medssm.kernels import use_backend
from medssm.models.unetr import UNETR, ImageBlock, OutBlock, TokenBlock, UpBlock


class PlainNetwork(nn.Module):
    """Image (B, C, D, H, W) to logits (B, num_classes, D, H, W), with the weights of `network` but none of our kernels.

    Raises: UsageError if the network has parts that MONAI does not.
    """

    def __init__(self, network: UNETR) -> None:
        super().__init__()
        if not isinstance(getattr(network, "out", None), OutBlock):
            raise UsageError("only a network with a decoder at full resolution can be written in MONAI's blocks")
        self.vit = network.vit
        blocks = {name: monai_block(part) for name, part in network.named_children() if name != "vit"}
        self.blocks = nn.ModuleDict(blocks)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, num_classes, D, H, W) of an image (B, C, D, H, W)."""
        with use_backend("reference"):
            *tapped, x = self.vit(image)
        skips = [self.blocks["encoder1"](image)]
        for level, tokens in enumerate(tapped, start=2):
            skips.append(self.blocks[f"encoder{level}"](tokens))
        for level in reversed(range(len(skips))):
            x = self.blocks[f"decoder{level + 2}"](x, skips[level])
        return self.blocks["out"](x)


def monai_block(block: nn.Module) -> nn.Module:
    """MONAI's own module for a block of ours, with the same parameters."""
    with torch.device("meta"):
        plain = _fresh(block)
    plain.load_state_dict(block.state_dict(), assign=True)
    return plain.train(block.training)


def _fresh(block: nn.Module) -> nn.Module:
    if isinstance(block, ImageBlock):
        first = block.layer.conv1.conv
        return UnetrBasicBlock(3, first.in_channels, first.out_channels, 3, first.stride, "instance", res_block=True)
    if isinstance(block, TokenBlock):
        up = block.transp_conv_init.conv
        depth = len(block.blocks)
        return UnetrPrUpBlock(
            3, up.in_channels, up.out_channels, depth, 3, 1, up.stride, "instance", conv_block=True, res_block=True
        )
    if isinstance(block, UpBlock):
        up = block.transp_conv.conv
        return UnetrUpBlock(3, up.in_channels, up.out_channels, 3, up.stride, "instance", res_block=True)
    assert isinstance(block, OutBlock)
    return UnetOutBlock(3, block.conv.conv.in_channels, block.conv.conv.out_channels)
