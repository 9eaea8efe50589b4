"""Scan operators on N-D grids of tokens, each with a reference, a native CPU and a Triton GPU backend."""

import sys
from importlib import import_module

if __name__ != "medssm.kernels":
    # Found as the folder `kernels` from the project's root: hand out the one true copy, because a second copy
    # would register every operator again.
    import_module("medssm.kernels")
    for _name, _module in list(sys.modules.items()):
        if _name.startswith("medssm.kernels"):
            sys.modules[_name.removeprefix("medssm.")] = _module
else:
    from medssm.kernels.causal_conv1d import causal_conv1d
    from medssm.kernels.conv3d import conv3d
    from medssm.kernels.conv_transpose3d import conv_transpose3d
    from medssm.kernels.dispatch import known_backends, operators, use_backend
    from medssm.kernels.errors import BackendError, ShapeError
    from medssm.kernels.instance_norm import instance_norm
    from medssm.kernels.selective_scan import nd_selective_scan, selective_scan
    from medssm.kernels.state_fusion import state_fusion
    from medssm.kernels.state_scan import state_scan
    from medssm.kernels.wavefront_scan import wavefront_scan

    __all__ = [
        "BackendError",
        "ShapeError",
        "causal_conv1d",
        "conv3d",
        "conv_transpose3d",
        "instance_norm",
        "known_backends",
        "nd_selective_scan",
        "operators",
        "selective_scan",
        "state_fusion",
        "state_scan",
        "use_backend",
        "wavefront_scan",
    ]
