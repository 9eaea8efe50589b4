"""Networks for volumes out of MONAI, by `monai:NAME`: baselines that train, predict and are stored as ours are.

Cardoso et al. 2022, arXiv:2211.02701. Weights name one of these, and nothing of MONAI is found by any other name.
"""

import difflib
from functools import partial
from typing import TYPE_CHECKING

from medssm.errors import UsageError, quoted
from medssm.models.info import ModelInfo, VolumeInput

if TYPE_CHECKING:
    from medssm.models.variant import Variant

PREFIX = "monai:"

# What each is, and the side of which a window must be a multiple; the strides of the first three follow the window.
_NETWORKS = {
    "UNet": ("U-Net with residual units", 16),
    "AttentionUnet": ("attention U-Net", 16),
    "DynUNet": ("nnU-Net's network, its kernels and strides by nnU-Net's rule", 16),
    "BasicUNet": ("U-Net of pairs of convolutions", 16),
    "SegResNet": ("residual encoder and decoder, of BraTS 2018", 8),
    "MedNeXt": ("U-Net of large depthwise kernels", 16),
    "UNETR": ("vision transformer under a convolutional decoder", 16),
    "SwinUNETR": ("Swin transformer under a convolutional decoder", 32),
}
MONAI_MODELS = tuple(PREFIX + name for name in _NETWORKS)


def monai_info(name: str) -> ModelInfo:
    """What is known of a network of MONAI, by its name with the prefix.

    Raises: UsageError on a name that is none of `MONAI_MODELS`.
    """
    own_name = name.removeprefix(PREFIX)
    if own_name not in _NETWORKS:
        nearest = difflib.get_close_matches(name, MONAI_MODELS, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(MONAI_MODELS)}"
        raise UsageError(f"no network of MONAI for scans is called {quoted(name)} here; {hint}")
    title, side = _NETWORKS[own_name]
    return ModelInfo(
        name=name,
        title=title,
        system="MONAI",
        task="segmentation",
        input_size=(96, 96, 96),
        patch_size=(side, side, side),
        input=VolumeInput((1.5, 1.5, 2.0)),
        in_channels=1,
        num_classes=14,
        stem_entry="",
        head_entry="",
        variant=partial(_variant, own_name),
    )


def _variant(name: str) -> "Variant":
    from medssm.models.monai_networks import monai_variant

    return monai_variant(name)
