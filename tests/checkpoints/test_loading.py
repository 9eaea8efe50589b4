"""Published files: how the state dict is found, recognised, and explained when it does not fit."""

import numpy as np
import pytest
import torch

from medssm import create_model
from medssm.checkpoints import convert_weights, inspect_weights, load_model, load_weights, save_weights
from medssm.errors import CheckpointError, UsageError

UNUSED = {
    "encoder2.blocks.0.1.conv3.conv.weight": 64,
    "encoder2.blocks.1.1.conv3.conv.weight": 64,
    "encoder3.blocks.0.1.conv3.conv.weight": 128,
}


@pytest.fixture(scope="module")
def published():
    """Entries of mamband-s as its authors' trainer writes them, with the unused ones of the pinned MONAI."""
    with torch.device("meta"):
        state = create_model("mamband-s").state_dict()
    zeros = {name: torch.zeros(tensor.shape) for name, tensor in state.items()}
    return zeros | {name: torch.zeros(size, size, 1, 1, 1) for name, size in UNUSED.items()}


def prefixed(prefix):
    return lambda state: {"state_dict": {prefix + name: tensor for name, tensor in state.items()}}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 4900, "best_acc": np.float64(0.831), "optimizer": {"state": {}}},
        lambda state: {"model": state, "scaler": {}},
        lambda state: {"module": state},
        lambda state: state,
        prefixed("module."),
        prefixed("backbone."),
        prefixed("module.backbone."),
        prefixed("_orig_mod."),
    ],
    ids=["trainer", "model", "module", "bare", "module.", "backbone.", "module.backbone.", "_orig_mod."],
)
def test_every_way_of_wrapping_a_state_dict_is_understood(wrap, state, saved):
    loaded, metadata = load_weights(saved(wrap(state)))
    assert metadata.model == "mamband-xs"
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_a_published_file_loads_without_its_unused_entries_and_says_what_is_known(published, saved):
    path = saved({"state_dict": published, "epoch": 4900, "best_acc": np.float64(0.831)})
    model, metadata = load_model(path)
    assert len(model.state_dict()) == 300
    assert metadata.model == "mamband-s"
    assert metadata.class_names[6] == "liver"
    assert metadata.preprocessing["spacing"] == [1.5, 1.5, 2.0]
    assert metadata.input_size == (96, 96, 96)
    assert "no licence file" in metadata.licence
    assert not any(parameter.is_meta for parameter in model.parameters())


def test_half_precision_files_become_float32_networks(state, saved):
    model, _ = load_model(saved({name: tensor.half() for name, tensor in state.items()}))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_sizes_are_read_from_the_tensors(saved):
    network = create_model("mamband-xs", in_channels=2, num_classes=5)
    _, metadata = load_weights(saved(network.state_dict()))
    assert (metadata.in_channels, metadata.num_classes) == (2, 5)
    assert metadata.class_names == {label: f"class {label}" for label in range(1, 5)}


@pytest.mark.parametrize("name", ["mamband-s", "mamband-s-plus", "mamband-b-32", "mamband-b-64"])
def test_every_published_variant_is_recognised_by_its_shapes(name):
    from medssm.checkpoints.recognition import recognise

    with torch.device("meta"):
        state = create_model(name).state_dict()
    fit = recognise(state)
    assert (fit.model, fit.faults) == (name, 0)


def without(state, *prefixes):
    return {name: tensor for name, tensor in state.items() if not name.startswith(prefixes)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: without(state, "out."),
            r"expected the 83 entries of mamband-xs, found 2 entries missing \(out.conv.weight, out.conv.bias\)$",
        ),
        (
            lambda state: without(state, "decoder"),
            r"found 8 entries missing \(decoder3.transp_conv.conv.weight, .*, .* and 5 more\)$",
        ),
        (lambda state: state | {"extra": torch.ones(1)}, r"found 1 entries too many \(extra\)$"),
        (
            lambda state: state | {"vit.pos_embed": torch.ones(1, 27, 96)},
            r"found 1 entries of another shape \(vit.pos_embed\)$",
        ),
        (
            lambda state: {"features.0.weight": torch.ones(3), "classifier.bias": torch.ones(2)},
            r"a network of Mamba-ND, .*MambaVision.*, found 2 tensors .* \(features.0.weight, classifier.bias\)$",
        ),
        (lambda state: {"epoch": 3, "lr": 0.1}, "holds no state dict .* it has epoch, lr"),
        (lambda state: [1, 2], "holds a list where a dictionary of tensors was expected"),
        (lambda state: torch.nn.Linear(2, 2), "holds a OrderedDict|holds no state dict"),
    ],
)
def test_a_file_that_does_not_fit_is_explained_in_a_sentence(change, message, state, saved):
    with pytest.raises(CheckpointError, match=message) as caught:
        load_weights(saved(change(state)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is no weights file", b"\x80\x02]q\x00.", b"PK\x03\x04 no archive"]
)
def test_a_file_of_another_kind_is_explained(content, tmp_path):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"w\.pt: (the file is empty|neither safetensors nor|not a readable)"):
        load_weights(tmp_path / "w.pt")


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load_weights(tmp_path / "none.pt")
    assert caught.value.filename == str(tmp_path / "none.pt")


def test_inspection_counts_what_is_missing_and_dropped(published, saved):
    found = inspect_weights(saved({"state_dict": without(published, "out."), "epoch": 3, "best_acc": np.float64(0.5)}))
    assert (found.system, found.model) == ("Mamba-ND", "mamband-s")
    assert found.missing == ("out.conv.conv.weight", "out.conv.conv.bias")
    assert found.dropped == tuple(UNUSED)
    assert found.parameters == 36_090_574 + 24_576 - 462
    assert found.notes == {"epoch": 3, "best_acc": 0.5}


def test_inspection_of_a_foreign_file_says_that_it_is_none_of_ours(saved):
    found = inspect_weights(saved({"w": torch.ones(2, 3)}))
    assert (found.model, found.metadata, found.entries, found.parameters) == (None, None, 1, 6)


def test_a_converted_file_holds_the_same_network(state, saved, tmp_path):
    source, out = saved({"state_dict": state}), tmp_path / "ours.safetensors"
    convert_weights(source, out)
    state, metadata = load_weights(out)
    original, expected = load_weights(source)
    assert metadata == expected.model_copy(update={"sha256": metadata.sha256})
    assert all(torch.equal(state[name], tensor) for name, tensor in original.items())
    with pytest.raises(UsageError, match="exists already"):
        convert_weights(source, out)
    convert_weights(source, out, overwrite=True)


@pytest.fixture
def pretrained(tmp_path, state):
    _, metadata = load_weights_of(state, tmp_path)
    return tmp_path / "w.safetensors", metadata


def load_weights_of(state, folder):
    torch.save(state, folder / "w.pt")
    loaded, metadata = load_weights(folder / "w.pt")
    save_weights(folder / "w.safetensors", loaded, metadata)
    return loaded, metadata


def test_pretrained_networks_start_from_the_file(pretrained, state):
    model = create_model("mamband-xs", pretrained=pretrained[0])
    assert model.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_pretrained_features_are_those_of_the_file(pretrained, state):
    model = create_model("mamband-xs", pretrained=pretrained[0], features_only=True)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_a_head_for_other_classes_starts_afresh(pretrained, state):
    model = create_model("mamband-xs", pretrained=pretrained[0], num_classes=3)
    assert model.out.conv.bias.shape == (3,)
    kept = without(model.state_dict(), "out.")
    assert len(kept) == len(state) - 2
    assert all(torch.equal(tensor, state[name]) for name, tensor in kept.items())


def test_weights_of_another_network_are_refused(pretrained):
    with pytest.raises(CheckpointError, match="holds weights of mamband-xs, not of mamband-s"):
        create_model("mamband-s", pretrained=pretrained[0])
    with pytest.raises(UsageError, match="for 1 input channels, not for 2"):
        create_model("mamband-xs", pretrained=pretrained[0], in_channels=2)
