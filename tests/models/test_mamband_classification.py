"""Mamba-ND for images and clips beside the official implementation, resizing of positions, and inflation.

golden/*.keys.json and golden/*.golden.npz were written by the official code in evaluation mode, in float32 on a CPU,
with every parameter set by `filled(name, shape)` of conftest.py.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medssm.errors import CheckpointError, UsageError
from medssm.models import fresh_model, model_info
from medssm.models.mamband import PatchMerging
from medssm.models.mamband_classification import with_backbone_prefix
from medssm.models.registry import count_parameters

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 1e-5  # of the largest value
PARAMETERS = {
    "mamband2d-s": 24_505_192,
    "mamband2d-b": 94_425_832,
    "mamband2d-s-16": 23_907_688,
    "mamband-video-ucf101": 36_674_320,
    "mamband-video-hmdb51": 36_543_420,
    "mamband-video-k400": 36_380_176,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_entries_have_the_official_names_and_shapes(name):
    official = {
        entry: shape for entry, shape, _ in json.loads((GOLDEN / f"{name}.keys.json").read_text(encoding="utf-8"))
    }
    if name.endswith("k400"):
        official = with_backbone_prefix(official)
    with torch.device("meta"):
        state = fresh_model(name).state_dict()
    assert {entry: list(tensor.shape) for entry, tensor in state.items()} == official
    assert name.endswith("k400") or list(state) == list(official)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_number_of_parameters_is_that_of_the_official_model(name, parameters):
    assert count_parameters(name) == parameters


@pytest.mark.parametrize("name", ["mamband2d-s", "mamband-video-ucf101"])
def test_logits_and_every_depth_are_those_of_the_official_model(name, fill, sample):
    golden = np.load(GOLDEN / f"{name}.golden.npz")
    model = fill(fresh_model(name)).eval()
    points = {}
    model.backbone.dropout.register_forward_pre_hook(lambda _, inputs: points.update(tokens=inputs[0]))
    for point in {key.removesuffix("_mean") for key in golden if key.startswith("feature_") and key.endswith("_mean")}:
        point = point.removeprefix("feature_")
        path = "layers.9.down_sample_layer" if point == "layer9" and "2d" in name else point.replace("layer", "layers.")
        if point != "tokens":
            model.backbone.get_submodule(path).register_forward_hook(
                lambda _, __, output, point=point: points.update({point: output})
            )
    with torch.no_grad():
        logits = model(sample(golden["input_shape"], int(golden["input_seed"])))
    assert_close(logits.numpy(), golden["output"])
    assert len(points) == sum(key.endswith("_strided") for key in golden)
    for point, value in points.items():
        assert value.shape == tuple(golden[f"feature_{point}_shape"]), point
        flat = value.numpy().reshape(-1)
        assert_close(flat[:256], golden[f"feature_{point}"])
        assert_close(flat[:: flat.size // 256][:256], golden[f"feature_{point}_strided"])


def assert_close(ours, official):
    assert np.abs(ours - official).max() <= TOLERANCE * np.abs(official).max()


@pytest.mark.parametrize("grid", [(4, 6), (3, 5), (1, 1)])
def test_merging_orders_neighbours_within_channels_and_pads_odd_grids(grid):
    merging = PatchMerging(2)
    merging.norm = torch.nn.Identity()
    merging.reduction = torch.nn.Identity()
    height, width = grid
    x = torch.arange(height * width * 2.0).add(1).view(1, height * width, 2)
    merged = merging(x, grid)
    for row in range(-(-height // 2)):
        for column in range(-(-width // 2)):
            for channel in range(2):
                for i, (down, right) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
                    r, c = 2 * row + down, 2 * column + right
                    expected = x[0, r * width + c, channel] if r < height and c < width else 0.0
                    assert merged[0, row * -(-width // 2) + column, 4 * channel + i] == expected


@torch.no_grad()
def test_an_image_that_does_not_divide_is_padded_with_zeros_at_bottom_and_right():
    model = fresh_model("mamband2d-s", input_size=32, num_classes=3).eval()
    image = torch.randn(1, 3, 27, 30)
    padded = torch.zeros(1, 3, 32, 32)
    padded[:, :, :27, :30] = image
    assert torch.equal(model(image), model(padded))


def test_positions_of_another_square_grid_are_resized_when_they_are_loaded():
    small = fresh_model("mamband2d-s", input_size=32)
    with torch.no_grad():
        small.backbone.pos_embed.copy_(torch.randn(1, 16, 384))
    large = fresh_model("mamband2d-s", input_size=64)
    large.load_state_dict(small.state_dict())
    maps = small.backbone.pos_embed.detach().transpose(1, 2).view(1, 384, 4, 4)
    expected = torch.nn.functional.interpolate(maps, (8, 8), mode="bicubic").flatten(2).transpose(1, 2)
    torch.testing.assert_close(large.backbone.pos_embed.detach(), expected)


def test_a_class_token_and_another_grid_in_a_published_file_are_adapted():
    info = model_info("mamband2d-s")
    learned = torch.randn(1, 785, 384)
    assert torch.equal(
        info.variant().from_published({"backbone.pos_embed": learned})["backbone.pos_embed"], learned[:, 1:]
    )
    coarse = info.variant().from_published({"backbone.pos_embed": torch.ones(1, 197, 384)})["backbone.pos_embed"]
    torch.testing.assert_close(coarse, torch.ones(1, 784, 384))


def test_a_clip_of_another_size_is_told_what_to_pad_to():
    with pytest.raises(UsageError, match=r"31x224x224 .* patches of 2x16x16; pad it to 32x224x224"):
        fresh_model("mamband-video-ucf101")(torch.zeros(1, 3, 31, 224, 224))


@pytest.fixture(scope="module")
def inflated():
    """The image network's entries, and those of the clip's network that they become."""
    torch.manual_seed(0)
    image = fresh_model("mamband2d-s-16").state_dict()
    return image, {
        name: model_info(name).variant().inflate(image) for name in ("mamband-video-ucf101", "mamband-video-k400")
    }


@pytest.mark.parametrize("name", ["mamband-video-ucf101", "mamband-video-k400"])
def test_inflation_fills_all_but_the_head_and_the_blocks_that_scan_along_time(name, inflated):
    _, states = inflated
    model = fresh_model(name)
    outcome = model.load_state_dict(states[name], strict=False)
    assert not outcome.unexpected_keys
    fresh = {entry.split(".")[2] for entry in outcome.missing_keys if ".layers." in entry}
    assert fresh == {str(block) for block in range(36) if block % 6 in (4, 5)}
    assert {entry for entry in outcome.missing_keys if ".layers." not in entry} == {
        entry for entry in model.state_dict() if "head" in entry
    }


def test_an_inflated_network_sees_a_still_clip_as_its_image(inflated):
    """Patches and positions of every frame pair are the image's, and so is a block that scans within frames."""
    image, states = inflated
    clip = fresh_model("mamband-video-ucf101").eval()
    clip.load_state_dict(states["mamband-video-ucf101"], strict=False)
    still = fresh_model("mamband2d-s-16").eval()
    still.load_state_dict(image)
    picture = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        tokens = still.backbone.patch_embed(picture)
        frames = clip.backbone.patch_embed(picture[:, :, None].expand(-1, -1, 32, -1, -1)).view(1, 16, 196, 384)
    torch.testing.assert_close(frames, tokens[:, None].expand_as(frames), rtol=1e-4, atol=1e-5)
    for block_2d, block_3d in ((0, 0), (3, 3), (4, 6), (23, 33)):
        name = "mixer.in_proj.weight"
        ours = clip.backbone.layers[block_3d].get_parameter(name)
        assert torch.equal(ours, still.backbone.layers[block_2d].get_parameter(name))


def test_inflation_refuses_another_network():
    state = fresh_model("mamband2d-s").state_dict()
    with pytest.raises(CheckpointError, match=r"patches of 16x16 .* found a shape of \(384, 3, 8, 8\)"):
        model_info("mamband-video-ucf101").variant().inflate(state)
