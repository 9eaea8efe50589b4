"""A network of ours as one would write it on plain MONAI: its blocks' own code, the reference scan, our weights.

Tensors are (B, C, D, H, W).
"""

from typing import Any

from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from torch import Tensor, nn

from medssm.errors import UsageError
from medssm.kernels import use_backend
from medssm.models.unetr import UNETR


class PlainNetwork(nn.Module):
    """Image (B, C, D, H, W) to logits, by the modules of `network` but none of our kernels.

    Raises: UsageError if the network has parts that MONAI does not.
    """

    def __init__(self, network: UNETR) -> None:
        super().__init__()
        if not isinstance(getattr(network, "out", None), UnetOutBlock):
            raise UsageError("only a network with a decoder at full resolution can be written in MONAI's blocks")
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        with use_backend("reference"):
            *tapped, x = self.network.vit(image)
        skips = [UnetrBasicBlock.forward(self._block("encoder1"), image)]
        for level, tokens in enumerate(tapped, start=2):
            skips.append(UnetrPrUpBlock.forward(self._block(f"encoder{level}"), tokens))
        for level in reversed(range(len(skips))):
            x = UnetrUpBlock.forward(self._block(f"decoder{level + 2}"), x, skips[level])
        return UnetOutBlock.forward(self._block("out"), x)

    def _block(self, name: str) -> Any:
        return self.network.get_submodule(name)
