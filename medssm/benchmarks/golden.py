"""How far a network's outputs are from those of its authors' code, on weights that can be made again anywhere.

A golden is a file NAME.golden.npz with `input_shape`, `input_seed` and what the official network gave in evaluation
mode, in float32 on a CPU, with every entry of its state dict set by `filled(name, shape)`: the whole `output`, or of
other tensors the first 256 values. NAME.balanced.golden.npz has some entries set otherwise, by `balanced`.
"""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medssm.models import fresh_model

Override = Callable[[str, np.ndarray], np.ndarray]


def normal(seed: int, shape: Sequence[int]) -> np.ndarray:
    """Standard-normal float32 values of a given shape that are the same everywhere."""
    return np.random.RandomState(seed).standard_normal(tuple(shape)).astype(np.float32)


def filled(name: str, shape: Sequence[int]) -> np.ndarray | None:
    """The value of an entry, fixed by its published name and its shape: seeded noise at the scale of its kind.

    None for integer counters, which keep their own.
    """
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return None
    noise = normal(zlib.crc32(name.encode()), shape)
    if leaf == "running_var":
        return 1 + 0.1 * np.abs(noise)
    if leaf == "running_mean":
        return 0.1 * noise
    if leaf.startswith("A_log"):
        return np.log(np.arange(1, shape[-1] + 1, dtype=np.float32)) + 0.1 * noise
    if leaf in ("D", "Ds"):
        return 1 + 0.1 * noise
    if "dt_proj" in name and "bias" in leaf:
        return -4 + 0.5 * noise
    if leaf == "pos_embed":
        return 0.02 * noise
    if len(shape) <= 1:
        return 1 + 0.1 * noise if leaf in ("weight", "gamma", "gamma_1", "gamma_2") else 0.02 * noise
    return noise / math.sqrt(math.prod(shape[1:]))


def fill(model: nn.Module, override: Override = lambda _, value: value) -> nn.Module:
    """Gives every entry of a network its fixed value, `override(name, value)` where a golden says so."""
    state = {}
    for name, tensor in model.state_dict().items():
        value = filled(name, tensor.shape)
        state[name] = tensor if value is None else torch.from_numpy(np.asarray(override(name, value), np.float32))
    model.load_state_dict(state)
    return model


def balanced(name: str, value: np.ndarray) -> np.ndarray:
    """Spatial-Mamba's entries of any shape, so that fusion counts and features do not grow from block to block."""
    if name.endswith("state_fusion.alpha"):
        return 1 + 5 * value
    return 0.1 * value if name.endswith(("cpe1.weight", "cpe2.weight")) else value


def golden_error(name: str, folder: Path) -> float | None:
    """The largest difference of a network's logits from its golden's, relative to the largest logit.

    None if the folder has no golden of it.
    """
    path = folder / f"{_FILES.get(name, name)}.golden.npz"
    if not path.is_file():
        return None
    golden = np.load(path)
    image = torch.from_numpy(normal(int(golden["input_seed"]), golden["input_shape"]))
    with torch.inference_mode():
        logits = fill(fresh_model(name)).eval()(image).numpy()
    if logits.ndim == 5:  # of volumes every sixth voxel is kept
        logits = logits[..., ::6, ::6, ::6]
    return float(np.abs(logits - golden["output"]).max() / np.abs(golden["output"]).max())


def dense_error(name: str, head: str, folder: Path) -> float | None:
    """The largest difference of a detector's or segmenter's outputs from its golden's, each relative to its largest.

    Of a detector: the levels of the neck, the proposals' scores and differences, and what the heads make of given
    regions. None if the folder has no golden of it.
    """
    path = folder / f"{_DENSE_FILES.get((name, head))}.balanced.golden.npz"
    if not path.is_file():
        return None
    golden = np.load(path)
    network = fill(fresh_model(name, head=head), balanced).eval()
    image = torch.from_numpy(normal(int(golden["input_seed"]), golden["input_shape"]))
    with torch.inference_mode():
        outputs = (_segmenter_outputs if head == "upernet" else _detector_outputs)(network, image)
    return max(_difference(output, golden, key) for key, output in outputs.items())


def _segmenter_outputs(network: Any, image: Tensor) -> dict[str, Tensor]:
    main, auxiliary = network.forward_heads(image)
    return {"output": main, "auxiliary_output": auxiliary, "full_resolution": network(image)}


def _detector_outputs(network: Any, image: Tensor) -> dict[str, Tensor]:
    """Of the box and mask heads what they make of the regions that the golden's script gave them."""
    pyramid = network.features(image)
    objectness, deltas = network.rpn_head(pyramid)
    levels = {"fpn": pyramid, "rpn_cls": objectness, "rpn_reg": deltas}
    outputs = {f"{name}{level}": x for name, maps in levels.items() for level, x in enumerate(maps)}
    regions = (torch.from_numpy(normal(seed, (3, 256, side, side))) for seed, side in ((1, 7), (2, 14)))
    [logits], [differences], [masks] = network.roi_head(*regions)
    return outputs | {"box_cls": logits, "box_reg": differences, "mask_logits": masks}


def _difference(output: Tensor, golden: Mapping[str, np.ndarray], key: str) -> float:
    """Of as many values as are stored, relative to the largest of them or the spread of all."""
    stored = golden[key].reshape(-1)
    values = output.numpy().reshape(-1)[: stored.size]
    scale = max(np.abs(stored).max(), float(golden.get(f"{key}_std", 0)))
    return float(np.abs(values - stored).max() / scale)


# Goldens bear the names that the authors give their networks.
_FILES = {
    "groupmamba-t": "group_mamba-tiny",
    "groupmamba-s": "group_mamba-small",
    "groupmamba-b": "group_mamba-base",
    "spatialmamba-t": "spatial_mamba-tiny",
    "spatialmamba-s": "spatial_mamba-small",
    "spatialmamba-b": "spatial_mamba-base",
} | {f"mambavision-{size}": f"mamba_vision_{size.upper()}" for size in ("t", "t2", "s", "b", "l", "l2")}
_DENSE_FILES = {
    (f"spatialmamba-{size[0]}", head): f"spatial_mamba-{head.replace('-', '_')}_{size}"
    for size in ("tiny", "small", "base")
    for head in ("mask-rcnn", "upernet")
}
