"""The calls that every network for images and clips answers."""

import copy

import pytest
import torch
from torch.nn import functional

from medssm.models import fresh_model, list_models, model_info

NETWORKS = [*list_models("classification"), *list_models("video")]
# One of each architecture, its smallest, for what does not depend on the variant.
SMALL = ["mamband2d-s", "mamband-video-ucf101", "mamba2d-n", "spatialmamba-xs", "groupmamba-t", "mambavision-t"]
SMALL += [pytest.param(name, marks=pytest.mark.slow) for name in ("mamband-video-k400", "mamba2d-t-v1")]
CLASSES = 5


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def small_size(name):
    """Of an input that is cheap, and odd where the architecture allows it."""
    patch = model_info(name).patch_size
    return (2 * patch[0], 2 * patch[1], 3 * patch[2]) if len(patch) == 3 else (48, 67)


def steady_size(name):
    """The same but for MambaVision: in padded windows a token of zeros has no variance, and norms magnify any step."""
    return model_info(name).input_size if name == "mambavision-t" else small_size(name)


def build(name, size=None, **options):
    return fresh_model(name, num_classes=CLASSES, input_size=size or small_size(name), **options)


def batch_of(name, count=2, size=None):
    return torch.randn(count, 3, *(size or small_size(name))), torch.randint(CLASSES, (count,))


def step_gradients(model, image, labels):
    logits = model(image)  # of two heads where the network is distilled
    heads = logits if isinstance(logits, tuple) else (logits,)
    loss = sum(functional.cross_entropy(head.float(), labels) for head in heads)
    loss.backward()
    return loss.item(), {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_variant_is_built_without_memory_and_says_where_it_is_from(name):
    info = model_info(name)
    with torch.device("meta"):
        model = fresh_model(name)
    assert model.get_parameter(info.head_entry).shape == (info.num_classes,)
    assert model.get_parameter(info.stem_entry).shape[1] == info.in_channels == 3
    assert info.is_ours == (info.weights is None)
    if not info.is_ours:
        assert info.weights.licence
        assert info.weights.page or info.weights.repository or info.weights.url
    assert info.result is None or "arXiv:" in info.result.source


@pytest.mark.parametrize("name", SMALL)
def test_a_training_step_reaches_every_parameter_and_lowers_the_loss(name):
    size = steady_size(name)
    image, labels = batch_of(name, size=size)
    for seed in range(1, 6):  # by some none of the few units that scale GroupMamba's channels in a block is above zero
        torch.manual_seed(seed)
        model = build(name, size, dropout_rate=0.0, drop_path_rate=0.0)
        loss, gradients = step_gradients(model, image, labels)
        without = {entry for entry, gradient in gradients.items() if not gradient.any()}
        # On the single token of GroupMamba's class block the recurrence has no past and a kernel no neighbours.
        if all("post_network" in entry and "A_logs" in entry for entry in without):
            break
    else:
        pytest.fail(f"no gradient reaches {sorted(without)}")
    norm = torch.nn.utils.get_total_norm(gradients.values())
    torch.optim.SGD(model.parameters(), lr=0.01 / norm.item()).step()
    assert step_gradients(model, image, labels)[0] < loss


@pytest.mark.parametrize("name", SMALL)
def test_gradient_checkpointing_gives_the_gradients_of_a_plain_step_with_stochastic_depth(name):
    model = build(name, drop_path_rate=0.3)
    image, labels = batch_of(name)
    outcomes = []
    for enable in (False, True):
        network = copy.deepcopy(model)
        network.set_grad_checkpointing(enable)
        torch.manual_seed(1)
        outcomes.append((*step_gradients(network, image, labels), dict(network.named_buffers())))
    (plain_loss, plain, statistics), (loss, recomputed, again) = outcomes
    assert loss == pytest.approx(plain_loss, rel=1e-6)
    for entry, gradient in plain.items():
        torch.testing.assert_close(recomputed[entry], gradient, msg=entry)
    for entry, buffer in statistics.items():
        torch.testing.assert_close(again[entry], buffer, msg=entry)


@pytest.mark.parametrize("name", SMALL)
def test_gradient_checkpointing_keeps_fewer_activations(name):
    model = build(name)
    image, _ = batch_of(name)
    kept = {}
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.update({t.data_ptr(): t.numel()}) or t, lambda t: t
        ):
            model(image)
        weights = {parameter.data_ptr() for parameter in model.parameters()}
        kept[enable] = sum(size for place, size in sizes.items() if place not in weights)
    assert kept[True] < kept[False] * 0.6


@pytest.mark.parametrize("name", SMALL)
def test_stochastic_depth_drops_in_training_only(name):
    image, _ = batch_of(name)
    model = build(name, drop_path_rate=0.5, dropout_rate=0.0).eval()
    with torch.no_grad():
        assert torch.equal(model(image), model(image))
        blocks = [module for module in model.modules() if type(module).__name__ == "DropPath"]
        assert max(block.drop_prob for block in blocks) == pytest.approx(0.5)
        for block in blocks:
            block.train()
        assert not torch.equal(model(image), model(image))


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_features_are_a_pyramid_of_the_announced_channels_and_strides(name):
    image, _ = batch_of(name)
    model = build(name, features_only=True).eval()
    pyramid = model(image)
    assert [level.shape[1] for level in pyramid] == list(model.channels)
    height, width = image.shape[-2:]
    # Rounded up or, by Mamba2D's stem, down.
    for level, stride in zip(pyramid, model.strides, strict=True):
        assert abs(level.shape[-2] - height / stride) < 1
        assert abs(level.shape[-1] - width / stride) < 1
        assert level.isfinite().all()
    assert list(model.strides) == sorted(model.strides)
    info = model_info(name)
    assert info.head_entry not in model.state_dict()
    assert info.stem_entry in model.state_dict()


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_other_channels_classes_and_sizes(name):
    model = fresh_model(name, in_channels=2, num_classes=3).eval()
    for factor in (1, 2):
        size = [factor * n for n in small_size(name)]
        logits = model(torch.randn(1, 2, *size))
        assert logits.shape == (1, 3)
        assert logits.isfinite().all()


@pytest.mark.few("mamband-video-ucf101", "spatialmamba-xs", "mambavision-t")
@pytest.mark.parametrize("name", SMALL)
def test_traced_networks_give_the_logits_and_gradients_of_plain_ones(name):
    """Whole and in one graph; what each operator says of itself to the compiler is tested with the operators."""
    model = build(name, dropout_rate=0.0, drop_path_rate=0.0)
    image, labels = batch_of(name)
    loss, gradients = step_gradients(model, image, labels)
    model.zero_grad()
    traced = torch.compile(model, fullgraph=True, backend="eager", dynamic=False)
    assert step_gradients(traced, image, labels)[0] == pytest.approx(loss, rel=1e-4)
    for entry, parameter in model.named_parameters():
        error = (parameter.grad - gradients[entry]).norm()
        assert error <= 1e-3 * gradients[entry].norm() + 1e-6, entry


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_autocast_stays_close_to_float32_and_keeps_float32_gradients(name):
    model = build(name, dropout_rate=0.0, drop_path_rate=0.0).eval()
    image, labels = batch_of(name)
    with torch.no_grad():
        plain = model(image)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(image)
    functional.cross_entropy(logits.float(), labels).backward()
    assert (logits - plain).norm() < 0.1 * plain.norm()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    assert all(gradient.isfinite().all() for gradient in gradients)
