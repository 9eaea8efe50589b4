"""Which model a state dict is of, for every model there is."""

import pytest
import torch

from medssm import create_model
from medssm.checkpoints import WeightsMetadata, load_model, load_weights, save_weights
from medssm.checkpoints.recognition import expected_shapes, recognise
from medssm.errors import CheckpointError
from medssm.models import list_models, model_info


def entries_of(name, **options):
    with torch.device("meta"):
        return create_model(name, **options).state_dict()


@pytest.mark.few("mamband-s", "mamband2d-b", "mamba2d-n", "spatialmamba-t", "groupmamba-s", "mambavision-t2", "k400")
@pytest.mark.parametrize("name", list_models())
def test_every_variant_is_recognised_by_its_entries(name):
    fit = recognise(entries_of(name))
    assert fit.faults == 0
    info, found = model_info(name), model_info(fit.model)
    assert (found.system, found.num_classes) == (info.system, info.num_classes)
    if found is not info:  # trained on other data or for another size; the entries are the same
        assert expected_shapes(found.name, 3, info.num_classes) == expected_shapes(name, 3, info.num_classes)
    assert recognise(entries_of(name), preferred=name).model == name


def test_the_two_video_heads_are_told_apart_by_their_size():
    assert recognise(entries_of("mamband-video-ucf101")).model == "mamband-video-ucf101"
    assert recognise(entries_of("mamband-video-hmdb51")).model == "mamband-video-hmdb51"


@pytest.fixture(scope="module")
def group_mamba():
    torch.manual_seed(0)
    return create_model("groupmamba-t").state_dict()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"module." + name: tensor for name, tensor in state.items()},
        lambda state: {
            "model": {name: torch.zeros_like(tensor) for name, tensor in state.items()},
            "model_ema": state,
            "max_accuray_ema": 83.3,
        },
    ],
    ids=["bare", "module.", "model_ema"],
)
def test_training_files_give_their_averaged_weights(wrap, group_mamba, saved):
    loaded, metadata = load_weights(saved(wrap(group_mamba)))
    assert metadata.model == "groupmamba-t"
    assert all(torch.equal(loaded[name], tensor) for name, tensor in group_mamba.items())


def test_what_a_published_file_does_not_say_is_known_of_its_model(group_mamba, saved):
    model, metadata = load_model(saved(group_mamba))
    assert not model.training
    assert metadata.class_names[0] == "tench, Tinca tinca"
    assert len(metadata.class_names) == 1000
    assert metadata.preprocessing["crop_pct"] == 0.875
    assert metadata.preprocessing["interpolation"] == "bicubic"
    assert metadata.input_size == (224, 224)


def test_a_truncated_image_network_is_named_with_what_is_missing(group_mamba, saved):
    state = {name: tensor for name, tensor in group_mamba.items() if not name.startswith("block4.")}
    with pytest.raises(CheckpointError, match=r"expected the 1266 entries of groupmamba-t, found 183 entries missing"):
        load_weights(saved(state))


def test_only_the_last_layers_start_afresh_for_other_classes(group_mamba, saved):
    torch.manual_seed(1)
    model = create_model("groupmamba-t", pretrained=saved(group_mamba), num_classes=7)
    own = model.state_dict()
    assert {name for name, tensor in own.items() if tensor.shape != group_mamba[name].shape} == {
        f"{head}.{entry}" for head in ("head", "dist_head") for entry in ("weight", "bias")
    }
    assert all(torch.equal(own[name], t) for name, t in group_mamba.items() if own[name].shape == t.shape)


def test_weights_of_one_size_serve_another(saved):
    small = create_model("mamband2d-s", input_size=32, num_classes=4)
    path = saved({**small.state_dict(), "backbone.pos_embed": torch.ones(1, 784, 384)})
    model = create_model("mamband2d-s", pretrained=path, num_classes=4, input_size=64)
    torch.testing.assert_close(model.backbone.pos_embed.detach(), torch.ones(1, 64, 384))


def test_a_clip_network_starts_from_an_image_network(saved):
    torch.manual_seed(0)
    image = create_model("mamband2d-s-16")
    path = saved({"state_dict": image.state_dict(), "meta": {}})
    clip = create_model("mamband-video-hmdb51", pretrained=path)
    name = "mixer.x_proj.weight"
    assert torch.equal(clip.backbone.layers[7].get_parameter(name), image.backbone.layers[5].get_parameter(name))


def test_a_variant_with_the_entries_of_another_takes_its_files(saved):
    state = {name: torch.zeros(shape) for name, shape in expected_shapes("mambavision-t", 3, 1000).items()}
    state |= {name: torch.tensor(0) for name in state if name.endswith("num_batches_tracked")}
    assert load_weights(saved(state))[1].model == "mambavision-t"
    with pytest.raises(CheckpointError, match="holds weights of mambavision-t, not of mambavision-s"):
        create_model("mambavision-s", pretrained=saved(state))


def test_own_weights_of_another_size_come_back_with_their_positions(tmp_path):
    network = create_model("mamband2d-s", input_size=64, num_classes=3)
    metadata = WeightsMetadata(model="mamband2d-s", num_classes=3, in_channels=3, input_size=(64, 64))
    save_weights(tmp_path / "w.safetensors", network, metadata)
    loaded, _ = load_model(tmp_path / "w.safetensors")
    assert torch.equal(loaded.backbone.pos_embed, network.backbone.pos_embed)
    assert loaded.backbone.pos_embed.shape == (1, 64, 384)
