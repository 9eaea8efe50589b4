"""Every model as it was published, architecture by architecture, without a network: nothing here needs torch."""

from medssm.models.catalogue import (
    group_mamba,
    mamba2d,
    mamba_vision,
    mamband_classification,
    mamband_segmentation,
    spatial_mamba,
)

_ARCHITECTURES = (mamband_segmentation, mamband_classification, mamba2d, spatial_mamba, group_mamba, mamba_vision)
MODELS = tuple(info for architecture in _ARCHITECTURES for info in architecture.MODELS)
