"""MambaVision beside the official implementation: entries, outputs at every depth, windows, starting values.

golden/mamba_vision_*.keys.json and golden/mamba_vision_*.golden.npz were written by the official code in evaluation
mode, in float32 on a CPU, with every entry set by `filled(name, shape)` of conftest.py. The smallest mistake that they
must tell, an eps of 1e-5 in the stem, moves the logits by 6e-5.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from medssm.models import fresh_model, list_models, model_info
from medssm.models.catalogue.mamba_vision import MODELS
from medssm.models.mamba_vision import ConvBlock, MambaVisionMixer, WindowedStage
from medssm.models.registry import count_parameters

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 1e-5  # of the largest value

PARAMETERS = {
    "mamba_vision_T": 31_794_248,
    "mamba_vision_T2": 35_104_008,
    "mamba_vision_S": 50_140_584,
    "mamba_vision_B": 97_685_288,
    "mamba_vision_L": 227_961_048,
    "mamba_vision_L2": 241_554_824,
    "mamba_vision_B_21k": 97_685_288,
    "mamba_vision_L_21k": 227_961_048,
    "mamba_vision_L2_512_21k": 241_554_824,
    "mamba_vision_L3_256_21k": 739_570_472,
    "mamba_vision_L3_512_21k": 739_570_472,
}


def entries_of(name, **options):
    with torch.device("meta"):
        state = fresh_model(name, **options).state_dict()
    return [[entry, list(tensor.shape), str(tensor.dtype).removeprefix("torch.")] for entry, tensor in state.items()]


@pytest.mark.parametrize("name", PARAMETERS)
def test_entries_have_the_official_names_order_and_shapes(name):
    assert entries_of(name) == json.loads((GOLDEN / f"{name}.keys.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["mamba_vision_T", "mamba_vision_S", "mamba_vision_B"])
def test_the_pyramid_has_the_entries_of_the_official_dense_backbone(name):
    assert entries_of(name, features_only=True) == json.loads(
        (GOLDEN / f"{name}.dense.keys.json").read_text(encoding="utf-8")
    )


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_number_of_parameters_is_that_of_the_official_model(name, parameters):
    assert count_parameters(name) == parameters
    assert parameters / 1e6 == pytest.approx(model_info(name).cost.parameters, abs=0.1)


def assert_close(ours, official):
    assert np.abs(ours - official).max() <= TOLERANCE * np.abs(official).max()


def assert_is_feature(golden, name, tensor, suffix=""):
    """The first values of a map and its statistics; where they are stored, also its shape and values far apart."""
    flat = tensor.numpy().reshape(-1)
    name = f"feature_{name}{suffix}"
    assert_close(flat[:256], golden[name])
    if not suffix:
        assert tensor.shape == tuple(golden[f"{name}_shape"])
        assert_close(flat[np.linspace(0, flat.size - 1, 256).astype(int)], golden[f"{name}_strided"])
    np.testing.assert_allclose([flat.mean(), flat.std()], [golden[f"{name}_mean"], golden[f"{name}_std"]], atol=1e-5)


@pytest.mark.few("mamba_vision_T")
@pytest.mark.parametrize("name", ["mamba_vision_T", "mamba_vision_S", "mamba_vision_B"])
@torch.no_grad()
def test_every_depth_is_that_of_the_official_model(name, fill, sample):
    """Small steps hide the scan; the second golden, `_ssm`, has larger ones."""
    golden = np.load(GOLDEN / f"{name}.golden.npz")
    model = fill(fresh_model(name)).eval()
    points = {}
    stages = {f"stage{number}": level for number, level in enumerate(model.levels)}
    for point, layer in {"stem": model.patch_embed, **stages}.items():
        layer.register_forward_hook(lambda _, __, output, point=point: points.update({point: output}))
    for suffix in ("", "_ssm"):
        if suffix:
            for entry, parameter in model.named_parameters():
                if entry.endswith("dt_proj.bias"):
                    parameter.mul_(0.25)
        logits = model(sample(golden["input_shape"], int(golden["input_seed"])))
        assert_close(logits.numpy(), golden[f"output{suffix}"])
        for stage in stages:
            assert_is_feature(golden, stage, points[stage][0], suffix)
    assert_is_feature(golden, "stem", points["stem"])


@torch.no_grad()
def test_the_pyramid_is_that_of_the_official_dense_backbone(fill, sample):
    golden = np.load(GOLDEN / "mamba_vision_T.dense.golden.npz")
    model = fresh_model("mamba_vision_T", features_only=True, input_size=1024)
    assert [level.window for level in model.levels[2:]] == golden["window_size"][2:].tolist()
    pyramid = fill(model).eval()(sample(golden["input_shape"], int(golden["input_seed"])))
    for stage, level in enumerate(pyramid):
        assert_is_feature(golden, f"stage{stage}", level)


@torch.no_grad()
def test_a_pyramid_of_a_classifiers_weights_has_fresh_norms_over_the_classifiers_maps():
    torch.manual_seed(0)
    classifier = fresh_model("mambavision-t").eval()
    dense = fresh_model("mambavision-t", features_only=True).eval()
    missing, unused = dense.load_state_dict(classifier.state_dict(), strict=False)
    assert {entry.split(".")[0] for entry in missing} == {"outnorm0", "outnorm1", "outnorm2", "outnorm3"}
    assert {entry.split(".")[0] for entry in unused} == {"norm", "head"}
    image = torch.randn(1, 3, 50, 70)
    maps = classifier.forward_features(image)
    assert all(map(torch.equal, dense.forward_features(image), maps))
    for level, feature_map in zip(dense(image), maps, strict=True):
        channels_last = feature_map.movedim(1, -1)
        torch.testing.assert_close(level.movedim(1, -1), functional.layer_norm(channels_last, channels_last.shape[-1:]))


@pytest.mark.parametrize(
    ("name", "size", "windows"),
    [
        ("mambavision-t", None, [14, 7]),
        ("mambavision-l2-512-21k", None, [32, 16]),
        ("mambavision-l3-256-21k", None, [16, 8]),
        ("mambavision-l3-512-21k", 224, [14, 7]),
        ("mambavision-t", (225, 40), [15, 8]),
        ("mambavision-t", (40, 1800), [113, 57]),
    ],
)
def test_windows_hold_the_whole_map_of_the_size_that_they_are_laid_out_for(name, size, windows):
    with torch.device("meta"):
        model = fresh_model(name, input_size=size)
    assert [level.window for level in model.levels[2:]] == windows


@pytest.mark.parametrize(
    ("name", "head", "size", "windows"),
    [
        ("mambavision-s", "cascade-mask-rcnn", None, [112, 56]),
        ("mambavision-t", "upernet", None, [64, 32]),
        ("mambavision-s", "upernet", None, [160, 56]),
        ("mambavision-s", "upernet", 512, [32, 16]),
    ],
)
def test_under_a_head_the_windows_are_those_of_the_published_networks(name, head, size, windows):
    with torch.device("meta"):
        backbone = fresh_model(name, head=head, input_size=size).backbone
    assert [level.window for level in backbone.levels[2:]] == windows


def test_attention_keeps_no_matrix_of_all_tokens_with_all():
    """A window of 160 has 25 600 tokens: their matrix would take 2.6 GB a head."""
    with torch.device("meta"):
        levels = fresh_model("mambavision-s", head="upernet").backbone.levels[2:]
    assert all(getattr(block.mixer, "fused_attn", True) for level in levels for block in level.blocks)


class CumulatedTokens(torch.nn.Module):
    """Each token plus all before it, plus one: tells windows, order and padding."""

    def forward(self, tokens):
        return tokens.cumsum(1) + 1


def test_windows_are_cut_row_by_row_and_padded_at_the_right_and_the_bottom():
    stage = WindowedStage([CumulatedTokens(), CumulatedTokens()], torch.nn.Identity(), window=4)
    image = torch.arange(2 * 3 * 5 * 9.0).reshape(2, 3, 5, 9)
    expected = torch.zeros(2, 3, 8, 12)
    expected[:, :, :5, :9] = image
    for top in (0, 4):
        for left in (0, 4, 8):
            window = expected[:, :, top : top + 4, left : left + 4]
            once = window.flatten(2).cumsum(2) + 1
            window.copy_((once.cumsum(2) + 1).unflatten(2, (4, 4)))
    torch.testing.assert_close(stage(image)[0], expected[:, :, :5, :9])


@pytest.mark.parametrize("size", [(225, 31), (1, 1)])
@torch.no_grad()
def test_every_step_rounds_the_size_up(size):
    model = fresh_model("mambavision-t", features_only=True, input_size=size).eval()
    shapes = [tuple(level.shape[2:]) for level in model(torch.randn(1, 3, *size))]
    assert shapes == ([(57, 8), (29, 4), (15, 2), (8, 1)] if size == (225, 31) else [(1, 1)] * 4)


@pytest.mark.parametrize(
    ("name", "scans"),
    [("t", (4, 2)), ("t2", (6, 2)), ("s", (4, 3)), ("b", (5, 3)), ("l2", (6, 3)), ("l3-256-21k", (10, 5))],
)
def test_the_first_half_of_a_stage_scans(name, scans):
    with torch.device("meta"):
        levels = fresh_model(f"mambavision-{name}").levels[2:]
    for level, count in zip(levels, scans, strict=True):
        kinds = [isinstance(block.mixer, MambaVisionMixer) for block in level.blocks]
        assert kinds == [number < count for number in range(len(kinds))]


def test_starting_values_are_the_published_ones():
    torch.manual_seed(0)
    model = fresh_model("mambavision-b")
    block = model.levels[2].blocks[0]
    for linear in (block.mixer.dt_proj, block.mlp.fc1, model.head):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert not linear.bias.any()
    torch.testing.assert_close(block.mixer.A_log.exp(), torch.arange(1.0, 9).expand(256, 8))
    assert torch.equal(block.mixer.D, torch.ones(256))
    assert block.gamma_1.unique().item() == block.gamma_2.unique().item() == pytest.approx(1e-5)
    assert fresh_model("mambavision-s").levels[2].blocks[0].gamma_1 is None


def test_stochastic_depth_grows_linearly_over_all_blocks():
    with torch.device("meta"):
        model = fresh_model("mambavision-b")
    rates = [block.drop_path.drop_prob for level in model.levels for block in level.blocks]
    assert rates == pytest.approx(np.linspace(0, 0.3, 21).tolist())
    assert isinstance(model.levels[1].blocks[2], ConvBlock)


def test_every_variant_answers_to_its_published_spellings():
    assert [model_info(name).name for name in PARAMETERS] == [info.name for info in MODELS]
    assert {info.name for info in MODELS} <= set(list_models("classification"))
    assert model_info("MambaVision-T-1K").name == "mambavision-t"
    assert model_info("MambaVision-L3-512-21K").name == "mambavision-l3-512-21k"
    spellings = [spelling for info in MODELS for spelling in (info.name, *info.aliases)]
    assert len(set(spellings)) == len(spellings)


def test_images_are_prepared_as_published():
    resized = {info.name: int(info.input_size[0] / info.input.crop_pct) for info in MODELS}
    assert resized == {info.name: info.input_size[0] for info in MODELS} | {
        "mambavision-t2": 228,
        "mambavision-s": 240,
        "mambavision-l2-512-21k": 550,
        "mambavision-l3-512-21k": 550,
    }
    squashed = {info.name for info in MODELS if info.input.crop_mode == "squash"}
    assert squashed == {"mambavision-l2-512-21k", "mambavision-l3-512-21k"}
    assert {info.input.interpolation for info in MODELS} == {"bicubic"}


def test_weights_are_found_at_the_published_places():
    places = {info.name: (info.weights.repository, info.weights.filename) for info in MODELS}
    assert places["mambavision-t2"] == ("nvidia/MambaVision-T2-1K", "mambavision_tiny2_1k.pth.tar")
    assert places["mambavision-l-21k"] == ("nvidia/MambaVision-L-21K", "mambavision_large_21k.pth.tar")
    assert places["mambavision-l3-256-21k"] == (
        "nvidia/MambaVision-L3-256-21K",
        "mambavision_L3_21k_740m_256.pth.tar",
    )
    assert {info.weights.licence for info in MODELS} == {"CC-BY-NC-SA-4.0"}
