"""The calls that every network for volumes answers, and the registry's own errors."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from medssm.errors import UsageError
from medssm.models import fresh_model, list_models, model_info
from medssm.models.mamba_vision import WindowedStage
from medssm.models.mamband import MambaND

SMALL = (32, 32, 32)
# The wider ones of the published architecture, whose smallest a quick run has.
WIDE = ("mamband-s-plus", "mamband-b-32", "mamband-b-64")
SEGMENTERS = [pytest.param(name, marks=[pytest.mark.slow] * (name in WIDE)) for name in list_models("segmentation")]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def step_gradients(model, image, labels):
    loss = functional.cross_entropy(model(image), labels)
    loss.backward()
    return loss.item(), {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_training_step_reaches_every_block_that_runs_and_lowers_the_loss(name):
    model = fresh_model(name, dropout_rate=0.0)
    image, labels = torch.randn(1, 1, *SMALL), torch.randint(14, (1, *SMALL))
    loss, gradients = step_gradients(model, image, labels)
    unused = {f"vit.layers.23.{entry}" for entry, _ in model.vit.layers[0].named_parameters()}
    without = {entry for entry, gradient in gradients.items() if gradient is None or not gradient.any()}
    assert without == (set() if model_info(name).is_ours else unused)
    norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients.values() if gradient is not None])
    torch.optim.SGD(model.parameters(), lr=0.01 / norm.item()).step()
    with torch.no_grad():
        assert functional.cross_entropy(model(image), labels).item() < loss


@pytest.mark.parametrize("name", ["mamband-xs", "mamband-s"])
def test_gradient_checkpointing_gives_the_gradients_of_a_plain_step_with_dropout(name):
    model = fresh_model(name, dropout_rate=0.2)
    batch = torch.randn(2, 1, *SMALL), torch.randint(14, (2, *SMALL))
    outcomes = []
    for enable in (False, True):
        model.zero_grad()
        model.set_grad_checkpointing(enable)
        torch.manual_seed(1)
        loss, gradients = step_gradients(model, *batch)
        outcomes.append(
            (loss, {entry: gradient.clone() for entry, gradient in gradients.items() if gradient is not None})
        )
    (plain_loss, plain), (loss, recomputed) = outcomes
    assert loss == plain_loss
    for entry, gradient in plain.items():
        torch.testing.assert_close(recomputed[entry], gradient, msg=entry)


def test_gradient_checkpointing_keeps_fewer_activations():
    model = fresh_model("mamband-xs")
    image = torch.randn(1, 1, *SMALL)
    kept = {}
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            model(image)
        kept[enable] = sum(sizes)
    assert kept[True] < kept[False] / 2


@pytest.mark.parametrize("name", SEGMENTERS)
def test_any_size_of_whole_patches_channels_and_classes(name):
    patch = model_info(name).patch_size[0]
    model = fresh_model(name, in_channels=2, num_classes=3).eval()
    with torch.no_grad():
        logits = model(torch.randn(1, 2, patch, 3 * patch, 2 * patch))
    assert logits.shape == (1, 3, patch, 3 * patch, 2 * patch)
    assert logits.isfinite().all()


def test_the_training_window_uses_the_position_embedding_as_it_is_and_another_size_interpolates_it():
    encoder = fresh_model("mamband-xs").vit
    ramp = torch.arange(6.0)
    with torch.no_grad():
        encoder.pos_embed.copy_(ramp[:, None, None, None].expand(6, 6, 6, 96).reshape(1, 216, 96))
    assert torch.equal(encoder._positions((6, 6, 6)), encoder.pos_embed)
    positions = encoder._positions((9, 2, 6)).unflatten(1, (9, 2, 6)).detach()
    centres = (np.arange(9) + 0.5) * 6 / 9 - 0.5  # voxel centres of the finer grid on the trained one
    expected = np.interp(centres, ramp.numpy(), ramp.numpy())
    np.testing.assert_allclose(
        positions.numpy(), np.broadcast_to(expected[:, None, None, None], (1, 9, 2, 6, 96)), atol=1e-5
    )


def test_a_size_that_does_not_divide_into_patches_is_told_what_to_pad_to():
    with pytest.raises(UsageError, match=r"90x96x17 .* patches of 16x16x16; pad it to 96x96x32"):
        fresh_model("mamband-s")(torch.zeros(1, 1, 90, 96, 17))


@pytest.mark.parametrize("name", SEGMENTERS)
def test_features_are_a_pyramid_of_the_announced_channels_and_strides(name):
    model = fresh_model(name, features_only=True).eval()
    with torch.no_grad():
        pyramid = model(torch.randn(1, 1, *SMALL))
    assert [level.shape[1] for level in pyramid] == list(model.channels)
    assert [tuple(n // m for n, m in zip(SMALL, level.shape[2:], strict=True)) for level in pyramid] == [*model.strides]
    assert list(model.strides) == sorted(model.strides)
    assert not any(entry.startswith(("decoder", "out")) for entry in model.state_dict())


@pytest.mark.parametrize(
    ("patch", "strides"),
    [
        ((2, 8, 8), [(1, 2, 2), (1, 4, 4), (2, 8, 8)]),
        ((8, 8, 1), [(2, 2, 1), (4, 4, 1), (8, 8, 1)]),
        ((4, 4, 4), [(2, 2, 2), (4, 4, 4)]),
    ],
    ids=str,
)
def test_a_patch_has_a_side_for_each_axis_and_the_pyramid_follows_it(patch, strides):
    model = fresh_model("mamband-xs", num_classes=3, arguments={"patch_size": list(patch)})
    image = torch.randn(1, 1, *(2 * side for side in patch))
    assert list(model.strides) == strides
    pyramid = model.forward_features(image)
    sizes = [tuple(2 * side // n for side, n in zip(patch, stride, strict=True)) for stride in strides]
    assert [tuple(level.shape[2:]) for level in pyramid] == sizes
    logits = model.decode(pyramid)
    assert logits.shape == (1, 3, *image.shape[2:])
    logits.square().mean().backward()
    # The first of the taps are left out with the levels, not the blocks before them.
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_features_are_those_that_the_whole_network_decodes():
    whole = fresh_model("mamband-xs").eval()
    features = fresh_model("mamband-xs", features_only=True).eval()
    features.load_state_dict({name: whole.state_dict()[name] for name in features.state_dict()})
    image = torch.randn(1, 1, *SMALL)
    with torch.no_grad():
        assert torch.equal(whole.decode(features(image)), whole(image))


def test_traced_networks_give_the_logits_and_gradients_of_plain_ones():
    """Whole and in one graph, with the code generator left out, which takes a minute."""
    model = fresh_model("mamband-xs", dropout_rate=0.0)
    image, labels = torch.randn(1, 1, *SMALL), torch.randint(14, (1, *SMALL))
    loss, gradients = step_gradients(model, image, labels)
    expected = {entry: gradient.clone() for entry, gradient in gradients.items()}
    model.zero_grad()
    traced = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert step_gradients(traced, image, labels)[0] == pytest.approx(loss, rel=1e-5)
    for entry, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[entry], rtol=1e-3, atol=1e-6, msg=entry)


def test_compiled_blocks_give_the_tokens_of_plain_ones():
    block = fresh_model("mamband-xs").vit.layers[3].eval()
    tokens, grid = torch.randn(1, 24, 96), (2, 3, 4)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(block, fullgraph=True)(tokens, grid), block(tokens, grid))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_stays_close_to_float32_and_keeps_float32_gradients(dtype):
    model = fresh_model("mamband-xs", dropout_rate=0.0)
    image, labels = torch.randn(1, 1, 16, 16, 16), torch.randint(14, (1, 16, 16, 16))
    plain = model(image).detach()
    with torch.autocast("cpu", dtype):
        logits = model(image)
    functional.cross_entropy(logits.float(), labels).backward()
    assert (logits - plain).norm() < 0.05 * plain.norm()
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.few("mamband-s", "mamband-video-k400", "mamba2d-t", "spatialmamba-b", "mambavision-l2-512-21k")
@pytest.mark.parametrize("name", list_models())
def test_the_listed_input_is_what_the_network_is_laid_out_for(name):
    info = model_info(name)
    with torch.device("meta"):
        listed, published = fresh_model(name, input_size=info.input_size), fresh_model(name)
    assert laid_out_for(listed) == laid_out_for(published)
    encoders = [part for part in published.modules() if isinstance(part, MambaND)]
    assert {encoder.config.input_size for encoder in encoders} <= {info.input_size}
    if info.patch_size != (1,) * len(info.patch_size):
        assert {encoder.config.patch_size for encoder in encoders} <= {info.patch_size}


def laid_out_for(model):
    windows = [part.window for part in model.modules() if isinstance(part, WindowedStage)]
    return windows, {name: tensor.shape for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "mamband-m"}, "no model is called 'mamband-m'; did you mean mamband-"),
        ({"name": "resnet"}, "no model is called 'resnet'; `medssm models` lists them"),
        ({"name": "mamband-xs", "num_classes": 0}, "num_classes is 0, which is for classifiers.* features_only=True"),
        ({"name": "spatialmamba-xs", "head": "upernet", "num_classes": 0}, "num_classes is 0, which is for"),
        ({"name": "spatialmamba-xs", "num_classes": -1}, "3 input channels and -1 classes; neither can be"),
        ({"name": "spatialmamba-xs", "in_channels": 0}, "0 input channels"),
        ({"name": "mamband-xs", "dropout_rate": 1.5}, "dropout_rate is 1.5"),
        (
            {"name": "mamband-xs", "arguments": {"patch": 8}},
            "model.arguments: there is no 'patch'; it takes patch_size",
        ),
        ({"name": "spatialmamba-xs", "arguments": {"patch_size": 8}}, "no 'patch_size'; this model takes none"),
        (
            {"name": "mamband-xs", "arguments": {"patch_size": [3, 8, 8]}},
            r"must be three powers of two .* found \[3, 8",
        ),
        (
            {"name": "mamband-xs", "arguments": {"patch_size": [8, 16, 8]}},
            r"the largest from 4 to 8, such as \[8, 8, 2\]",
        ),
    ],
)
def test_a_wrong_request_is_explained(options, message):
    with pytest.raises(UsageError, match=message):
        fresh_model(**options)


def test_only_the_small_model_is_ours_and_the_others_name_their_source_and_licence():
    ours = [name for name in list_models("segmentation") if model_info(name).is_ours]
    assert ours == ["mamband-xs"]
    published = {name: model_info(name) for name in list_models("segmentation") if name not in ours}
    dice = {"mamband-s": 83.1, "mamband-s-plus": 83.9, "mamband-b-32": 82.7, "mamband-b-64": 84.7}
    assert {name: info.result.value for name, info in published.items()} == dice
    assert all("2402.05892" in info.result.source for info in published.values())
    assert all("no licence file" in info.weights.licence for info in published.values())
