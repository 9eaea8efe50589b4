"""What programs ask of every network beside its answer: half precision, batches without samples, embeddings."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from medssm import create_model
from medssm.checkpoints.metadata import WeightsMetadata
from medssm.checkpoints.own_format import save_weights
from medssm.errors import UsageError
from medssm.models import fresh_model, list_models, model_info

# One of each layer that there is; the others are made of the same.
QUICK = ("mamband-xs", "mamband2d-s-16", "mamband-video-xs", "mamband-video-k400", "mamba2d-n", "mamba2d-t-v1")
QUICK += ("spatialmamba-xs", "groupmamba-t", "mambavision-t")
CLASSIFIERS = [*list_models("classification"), *list_models("video")]
# Rounding of weights and activations, which random weights magnify: 0.099 is the most that bfloat16 was measured to do.
LARGEST_ERROR = {torch.bfloat16: 0.15, torch.float16: 0.05}
# Settings that make heads small.
NARROW = {"mask-rcnn": {"neck_channels": 16, "box_features": 16}, "upernet": {}}
NARROW["cascade-mask-rcnn"] = {**NARROW["mask-rcnn"], "box_channels": 16}


def marked(names: list[str], quick: tuple[str, ...] = QUICK) -> list[object]:
    return [pytest.param(name, marks=[pytest.mark.slow] * (name not in quick)) for name in names]


def small_size(name: str) -> tuple[int, ...]:
    """Of a cheap input."""
    return {"segmentation": (32, 32, 32), "video": (2, 32, 32), "classification": (64, 64)}[model_info(name).task]


def small(name: str, **options: object) -> tuple[nn.Module, Tensor]:
    """A network and an input."""
    torch.manual_seed(0)
    network = fresh_model(name, input_size=small_size(name), **options).eval()
    return network, torch.randn(1, model_info(name).in_channels, *small_size(name))


def relative_error(y: Tensor, expected: Tensor) -> float:
    return ((y.float() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("name", marked(list_models()))
@torch.no_grad()
def test_a_network_made_half_answers_nearly_as_before_and_none_for_none(name: str) -> None:
    network, image = small(name)
    expected = network(image)
    with torch.device("meta"):
        laid_out, shape = fresh_model(name, input_size=small_size(name)), image.to("meta")
    assert laid_out.eval()(shape).shape == expected.shape
    weights = network.state_dict()
    weights = {entry: tensor.clone() for entry, tensor in weights.items()}
    for dtype, largest in LARGEST_ERROR.items():
        network.float().load_state_dict(weights)
        y = network.to(dtype)(image.to(dtype))
        assert y.dtype == dtype
        assert relative_error(y, expected) < largest
        none = network(image[:0].to(dtype))
        assert none.shape == (0, *expected.shape[1:])
        assert none.dtype == dtype


@pytest.mark.parametrize("head", NARROW)
@torch.no_grad()
def test_a_network_with_a_head_made_half_answers_nearly_as_before_and_none_for_none(head: str) -> None:
    network, image = small("spatialmamba-xs", head=head, head_settings=NARROW[head])
    answer: Callable[[Tensor], list[Tensor]] = tensors_of(network)
    expected = answer(image)
    for dtype, largest in LARGEST_ERROR.items():
        network.to(dtype)
        for y, wanted in zip(answer(image.to(dtype)), expected, strict=True):
            assert relative_error(y, wanted) < largest
        none = network.detect(image[:0].to(dtype), []) if "rcnn" in head else network(image[:0].to(dtype))
        assert len(none) == 0


def tensors_of(network: nn.Module) -> Callable[[Tensor], list[Tensor]]:
    """All that a network with a head gives, as tensors."""

    def flat(found: object) -> list[Tensor]:
        return [found] if isinstance(found, Tensor) else [tensor for part in found for tensor in flat(part)]

    return lambda image: flat(network(image))


@pytest.mark.parametrize(
    "name", marked(CLASSIFIERS, ("mamband2d-s-16", "mamband-video-xs", "mamba2d-n", "spatialmamba-xs", "groupmamba-t"))
)
@torch.no_grad()
def test_a_classifier_of_no_classes_gives_what_its_last_layer_takes(name: str) -> None:
    network, image = small(name)
    embedding, _ = small(name, num_classes=0)
    kept = {entry: network.state_dict()[entry] for entry in embedding.state_dict()}
    embedding.load_state_dict(kept)
    taken = []
    layer = model_info(name).head_entry.removesuffix(".bias").removesuffix(".fc2")  # Mamba2D's is a part of its head
    network.get_submodule(layer).register_forward_pre_hook(lambda _, given: taken.append(given[0]))
    network(image)
    features = embedding(image)
    assert features.ndim == 2
    torch.testing.assert_close(features, taken[0], rtol=0, atol=0)


def test_weights_of_a_classifier_are_loaded_without_their_last_layer(tmp_path: Path) -> None:
    trained = fresh_model("spatialmamba-xs", num_classes=5)
    path = tmp_path / "model.safetensors"
    save_weights(
        path, trained, WeightsMetadata(model="spatialmamba-xs", in_channels=3, num_classes=5, input_size=(64, 64))
    )
    embedding = create_model("spatialmamba-xs", num_classes=0, pretrained=path)
    for entry, tensor in embedding.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[entry]), entry


@pytest.mark.parametrize("name", QUICK)
def test_what_is_no_input_of_a_network_is_told_with_what_it_takes(name: str) -> None:
    info = model_info(name)
    with torch.device("meta"):
        network = fresh_model(name, input_size=small_size(name))
        sizes = r"depth or frames, height, width" if len(small_size(name)) == 3 else "height, width"
        for shape in ((1, info.in_channels, 32, 32, 32)[: 7 - len(small_size(name))], (1, 4, *small_size(name))):
            with pytest.raises(UsageError, match=rf"takes \(batch, {info.in_channels} channels, {sizes}\), and"):
                network(torch.ones(shape))
