"""Our weights files: what goes in comes out, and a damaged or forged file is told apart."""

import copy
import json
import re
import struct

import pytest
import torch
from safetensors.torch import save_file

from medssm.checkpoints import WeightsMetadata, create_model, load_model, load_weights, save_weights
from medssm.errors import LONGEST, CheckpointError, UsageError

METADATA = WeightsMetadata(
    model="mamband-xs",
    num_classes=14,
    in_channels=1,
    class_names={1: "spleen", 13: "left adrenal gland"},
    preprocessing={"spacing": [3.0, 3.0, 3.0]},
    input_size=(48, 48, 48),
    licence="CC-BY-4.0",
    source="a test",
)


@pytest.fixture
def path(tmp_path, model):
    save_weights(tmp_path / "run" / "best.safetensors", model, METADATA)
    return tmp_path / "run" / "best.safetensors"


def with_header(path, change):
    """Rewrites the header of a safetensors file; `change` gets and gives its JSON."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header)
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + length :])


@pytest.mark.parametrize("place", ["file", "run folder"])
def test_a_network_comes_back_with_its_weights_and_metadata(place, path, model):
    loaded, metadata = load_model(path if place == "file" else path.parent)
    assert metadata == METADATA.model_copy(update={"sha256": metadata.sha256})
    assert len(metadata.sha256) == 64
    assert not loaded.training
    for (name, saved), (other, back) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(saved, back)
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        assert torch.equal(model(image), loaded(image))


def test_loaded_weights_outlive_the_file(path, model):
    loaded, _ = load_model(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(loaded.out.conv.weight, model.out.conv.weight)


def test_other_channels_classes_and_arguments_come_back(tmp_path):
    from medssm.models import fresh_model

    sizes = {"in_channels": 3, "num_classes": 2, "arguments": {"patch_size": (4, 8, 8)}}
    network = fresh_model("mamband-xs", **sizes)
    save_weights(tmp_path / "w.safetensors", network, METADATA.model_copy(update=sizes))
    loaded, metadata = load_model(tmp_path / "w.safetensors")
    assert (metadata.in_channels, metadata.num_classes, metadata.arguments) == tuple(sizes.values())
    assert loaded(torch.zeros(1, 3, 4, 16, 16)).shape == (1, 2, 4, 16, 16)
    with pytest.raises(UsageError, match=r'with model.arguments \{"patch_size": \[4, 8, 8\]\}, not \{\}; train with'):
        create_model("mamband-xs", in_channels=3, num_classes=2, pretrained=tmp_path / "w.safetensors")


@pytest.mark.parametrize("part", [0.0, 0.000001, 0.0001, 0.01, 0.5, 0.999999])
def test_a_truncated_file_gets_a_sentence(part, path):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(
        CheckpointError, match=r"the file is empty|not a whole safetensors file|neither safetensors nor"
    ):
        load_weights(path)


def test_a_changed_tensor_is_noticed(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not those that were written"):
        load_weights(path)


@pytest.mark.parametrize(
    "claims",
    [
        {"num_classes": 2**70},
        {"in_channels": 10**9},
        {"input_size": [10**9, 10**9]},
        {"input_size": [4] * 100},
        {"input_size": [1, 1], "model": "mamba2d-n"},
        {"model": "spatialmamba-xs", "head": "upernet", "head_settings": {"channels": 10**40}},
        {"model": "spatialmamba-xs", "head": "upernet", "head_settings": {"channels": 0}},
        {"model": "spatialmamba-xs", "head": "upernet", "head_settings": {"a\n" * 500: 1}},
        {"model": "a\n" * 5000},
        {"arguments": {"patch_size": [10**40] * 3}},
        {"arguments": {"patch_size": [[[[[[8]]]]]]}},
        {"arguments": {"patch_size": float("nan")}},
        {"arguments": {"a\n" * 500: 1}},
    ],
    ids=lambda claims: "-".join(claims),
)
def test_numbers_that_lay_out_no_network_are_refused_in_a_sentence(claims, path):
    def claim(header):
        header["__metadata__"]["medssm"] = json.dumps(json.loads(header["__metadata__"]["medssm"]) | claims)

    with_header(path, claim)
    with pytest.raises(CheckpointError, match=r"best\.safetensors: ") as caught:
        load_weights(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= LONGEST + len(str(path))


HUGE = 10**15


@pytest.mark.parametrize(
    "forge",
    [
        lambda entry: entry.update(shape=[HUGE], data_offsets=[0, 4 * HUGE]),
        lambda entry: entry.update(shape=[HUGE]),
        lambda entry: entry.update(shape=[2**62, 4]),
        lambda entry: entry.update(data_offsets=[4 * HUGE, 4 * HUGE + 4]),
        lambda entry: entry.update(data_offsets=[8, 0]),
        lambda entry: entry.update(dtype="F999"),
        lambda entry: entry.pop("shape"),
    ],
)
def test_a_header_that_claims_what_is_not_there_is_refused(forge, path):
    with_header(path, lambda header: forge(header["vit.pos_embed"]))
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_weights(path)


@pytest.mark.parametrize("length", [2**64 - 1, 2**40, 10**8, 100])
def test_a_header_length_beyond_the_file_is_refused(length, path):
    path.write_bytes(struct.pack("<Q", length) + b"{" + b" " * 50)
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_weights(path)


def test_a_file_of_the_first_release_calls_the_input_size_window(path):
    def rename(header):
        metadata = json.loads(header["__metadata__"]["medssm"])
        metadata["window"] = metadata.pop("input_size")
        header["__metadata__"]["medssm"] = json.dumps(metadata)

    with_header(path, rename)
    assert load_weights(path)[1].input_size == (48, 48, 48)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 0}, "num_classes: Input should be greater"),
        ({"input_size": "x"}, "input_size: "),
        ({"model": "mamband-xxl"}, "weights of 'mamband-xxl', which is no model here"),
        ({"model": "mamband-s"}, "expected the 300 entries of mamband-s, found .* missing"),
        ({"num_classes": 5}, r"found 2 entries of another shape \(out.conv.weight, out.conv.bias\)"),
    ],
)
def test_metadata_that_do_not_agree_with_the_tensors_are_refused(change, message, path):
    def forge(header):
        metadata = json.loads(header["__metadata__"]["medssm"]) | change
        header["__metadata__"]["medssm"] = json.dumps(metadata)

    with_header(path, forge)
    with pytest.raises(CheckpointError, match=message):
        load_weights(path)


def test_safetensors_of_others_are_recognised_by_their_entries(tmp_path, state):
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "w.safetensors")
    _, metadata = load_weights(tmp_path / "w.safetensors")
    assert metadata.model == "mamband-xs"


@pytest.mark.parametrize(("name", "message"), [("last.ckpt", "not been validated yet"), ("notes", "holds no best")])
def test_a_folder_without_best_weights_is_explained(name, message, tmp_path):
    (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=message):
        load_weights(tmp_path)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_with_numbers_that_are_not_finite_are_refused(number, model, tmp_path):
    network = copy.deepcopy(model)
    name, parameter = next(iter(network.named_parameters()))
    with torch.no_grad():
        parameter.view(-1)[3] = number
    save_weights(tmp_path / "w.safetensors", network, METADATA)
    with pytest.raises(CheckpointError, match=rf"{re.escape(name)} holds values that are no finite numbers"):
        load_model(tmp_path / "w.safetensors")
