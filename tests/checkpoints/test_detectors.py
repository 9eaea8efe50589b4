"""Published detectors and segmenters: told by their entries, loaded strictly, and started from."""

import json
from pathlib import Path

import pytest
import torch

from medssm import create_model
from medssm.checkpoints import WeightsMetadata, convert_weights, inspect_weights, load_model, load_weights, save_weights
from medssm.checkpoints.recognition import expected_shapes, recognise
from medssm.errors import CheckpointError
from medssm.models import list_models, model_info

GOLDEN = Path(__file__).parents[1] / "models" / "golden"
SMALL_UPERNET = {"channels": 8, "auxiliary_channels": 8}
SPATIAL_MAMBA = {"tiny": "spatialmamba-t", "small": "spatialmamba-s", "base": "spatialmamba-b"}


def official(manifest):
    """A state dict of the official names and shapes that takes no memory: each entry repeats one number."""
    entries = json.loads((GOLDEN / f"{manifest}.keys.json").read_text(encoding="utf-8"))
    return {
        name: torch.tensor(number % 97, dtype=getattr(torch, dtype)).expand(shape)
        for number, (name, shape, dtype) in enumerate(entries)
    }


@pytest.mark.parametrize("variant", SPATIAL_MAMBA)
@pytest.mark.parametrize(("manifest", "head"), [("upernet", "upernet"), ("mask_rcnn", "mask-rcnn")])
def test_official_entries_tell_model_head_and_classes(manifest, head, variant):
    fit = recognise(official(f"spatial_mamba-{manifest}_{variant}"))
    assert (fit.model, fit.head, fit.faults) == (SPATIAL_MAMBA[variant], head, 0)
    assert fit.num_classes == {"upernet": 150, "mask-rcnn": 80}[head]


PUBLISHED = [(name, dense.head) for name in list_models("classification") for dense in model_info(name).dense]


@pytest.mark.few("spatialmamba-t-mask-rcnn", "groupmamba-t-upernet", "mambavision-t-cascade-mask-rcnn")
@pytest.mark.parametrize(("name", "head"), dict.fromkeys(PUBLISHED))
def test_every_published_network_is_recognised(name, head):
    with torch.device("meta"):
        network = create_model(name, head=head, num_classes=7)
    fit = recognise(network.state_dict())
    assert (fit.model, fit.head, fit.num_classes, fit.faults) == (name, head, 7, 0)


def test_a_dense_file_of_the_dense_backbone_with_its_official_names_is_recognised():
    """MambaVision's and Mamba2D's: `backbone.` before the dense backbone's names, Mamba2D's without further nesting."""
    dense = json.loads((GOLDEN / "mamba_vision_B.dense.keys.json").read_text(encoding="utf-8"))
    names = {f"backbone.{name}": tuple(shape) for name, shape, _ in dense}
    ours = expected_shapes("mambavision-b", 3, 80, head="cascade-mask-rcnn")
    assert {name: shape for name, shape in ours.items() if name.startswith("backbone.")} == names
    classifier = json.loads((GOLDEN / "mamba2d-s.keys.json").read_text(encoding="utf-8"))
    names = {name: tuple(shape) for name, shape, _ in classifier if name.startswith("backbone.")}
    ours = expected_shapes("mamba2d-s", 3, 80, head="mask-rcnn")
    assert {name: shape for name, shape in ours.items() if name.startswith("backbone.")} == names


@pytest.fixture
def mmengine(foreign, saved):
    """Writes a state dict as MMEngine does, with objects of its own classes around it."""

    def save(state, name="iter_160000.pth"):
        state = {name: tensor.contiguous() for name, tensor in state.items()}  # a file must hold what it claims
        history = foreign("mmengine.logging.history_buffer", "HistoryBuffer", mean=lambda self: 0)()
        history.log, history.statistics = torch.arange(5.0).numpy(), {"mean": history.mean}
        config = foreign("mmengine.config.config", "ConfigDict", (dict,))(type="EncoderDecoder")
        meta = {"epoch": 1, "iter": 160000, "cfg": config, "dataset_meta": {"classes": ("wall", "building")}}
        hub = {"log_scalars": {"train/loss": history}, "runtime_info": {}, "resumed_keys": {}}
        return saved({"meta": meta, "state_dict": state, "message_hub": hub, "param_schedulers": []}, name)

    return save


def test_a_file_of_mmsegmentation_is_loaded_strictly(mmengine):
    state = official("spatial_mamba-upernet_tiny")
    network, metadata = load_model(mmengine(state))
    assert not network.training
    loaded = network.state_dict()
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    assert (metadata.model, metadata.head, metadata.num_classes) == ("spatialmamba-t", "upernet", 150)
    assert (metadata.class_names[0], metadata.class_names[149]) == ("wall", "flag")
    assert (metadata.preprocessing["short_side"], metadata.preprocessing["long_side"]) == (512, 2048)
    assert metadata.preprocessing["mean"][0] * 255 == pytest.approx(123.675)
    assert metadata.licence == "Apache-2.0"


def test_a_file_of_mmdetection_becomes_ours_and_loads_again(mmengine, tmp_path):
    shapes = expected_shapes("mamba2d-n", 3, 80, head="mask-rcnn")
    path = mmengine({name: torch.tensor(0.5).expand(shape) for name, shape in shapes.items()}, "M2D-N-mask-rcnn-3x.pth")
    found = inspect_weights(path)
    assert (found.system, found.model, found.head) == ("Mamba2D", "mamba2d-n", "mask-rcnn")
    assert (found.missing, found.extra, found.reshaped) == ((), (), ())
    convert_weights(path, tmp_path / "detector.safetensors")
    network, metadata = load_model(tmp_path / "detector.safetensors")
    assert network.neck.lateral_convs[0].gn.num_groups == 32
    assert (metadata.class_names[0], metadata.class_names[79]) == ("person", "toothbrush")
    assert metadata.preprocessing["long_side"] == 1333
    assert "Mamba2D/releases" in metadata.source


def test_entries_too_many_or_too_few_are_named(mmengine):
    state = official("spatial_mamba-upernet_tiny")
    del state["decode_head.psp_modules.3.1.conv.weight"]
    with pytest.raises(CheckpointError, match=r"the 639 entries of spatialmamba-t with upernet, found 1 entries miss"):
        load_weights(mmengine(state))
    state = official("spatial_mamba-upernet_tiny") | {"decode_head.more": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"found 1 entries too many \(decode_head.more\)"):
        load_weights(mmengine(state))


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return create_model("spatialmamba-xs").state_dict()


def test_a_segmenter_starts_from_the_plain_weights_of_a_classifier(classifier, saved, capsys):
    averaged = {name: torch.zeros_like(tensor) for name, tensor in classifier.items()}
    path = saved({"model": classifier, "model_ema": averaged})
    network = create_model("spatialmamba-xs", head="upernet", head_settings=SMALL_UPERNET, pretrained=path)
    own = network.backbone.state_dict()
    fresh = {name for name in own if name not in classifier}
    assert {name.split(".")[0] for name in fresh} == {"outnorm0", "outnorm1", "outnorm2", "outnorm3"}
    assert all(torch.equal(own[name], classifier[name]) for name in own if name not in fresh)
    assert capsys.readouterr().err.splitlines() == [
        f"{path}: spatialmamba-xs starts from it; fresh are backbone.outnorm0, backbone.outnorm1, backbone.outnorm2, "
        "backbone.outnorm3, decode_head, auxiliary_head"
    ]


def test_a_backbone_of_which_some_is_missing_is_refused(classifier, saved):
    """The check of the original looks for names that are not there any more and never fires."""
    path = saved({name: tensor for name, tensor in classifier.items() if "layers.2.blocks.1.mlp" not in name})
    with pytest.raises(CheckpointError, match=r"not the whole backbone of spatialmamba-xs, 4 entries are missing"):
        create_model("spatialmamba-xs", head="upernet", pretrained=path)


def test_a_backbone_without_the_classifiers_last_layers_is_enough(classifier, saved):
    path = saved({name: tensor for name, tensor in classifier.items() if not name.startswith(("norm.", "head."))})
    network = create_model("spatialmamba-xs", head="upernet", head_settings=SMALL_UPERNET, pretrained=path)
    name = "layers.3.blocks.0.mlp.fc2.weight"
    assert torch.equal(network.backbone.get_parameter(name), classifier[name])


def test_a_nested_backbone_starts_from_its_classifier(saved):
    torch.manual_seed(0)
    state = create_model("mamba2d-n").state_dict()
    network = create_model("mamba2d-n", head="upernet", head_settings=SMALL_UPERNET, pretrained=saved(state))
    own = network.state_dict()
    assert all(torch.equal(own[name], state[name]) for name in own if name.startswith("backbone."))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """A small segmenter of five classes, and its file."""
    torch.manual_seed(0)
    options = {"head": "upernet", "head_settings": SMALL_UPERNET, "num_classes": 5}
    network = create_model("spatialmamba-xs", **options)
    path = tmp_path_factory.mktemp("segmenter") / "best.safetensors"
    metadata = WeightsMetadata(model="spatialmamba-xs", in_channels=3, input_size=(), **options)
    save_weights(path, network, metadata)
    return network, path


def test_own_segmenters_come_back(segmenter):
    network, path = segmenter
    loaded, metadata = load_model(path)
    assert metadata.head == "upernet"
    state = network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())


def test_only_last_layers_start_afresh_for_other_classes(segmenter, capsys):
    network, path = segmenter
    other = create_model("spatialmamba-xs", head="upernet", head_settings=SMALL_UPERNET, num_classes=9, pretrained=path)
    state = network.state_dict()
    differing = {name for name, t in other.state_dict().items() if t.shape != state[name].shape}
    last = {f"{head}.conv_seg.{entry}" for head in ("decode_head", "auxiliary_head") for entry in ("weight", "bias")}
    assert differing == last
    assert all(torch.equal(t, state[name]) for name, t in other.state_dict().items() if name not in last)
    assert "fresh are decode_head.conv_seg, auxiliary_head.conv_seg" in capsys.readouterr().err


def test_a_detector_takes_the_backbone_of_a_segmenter(segmenter, capsys):
    network, path = segmenter
    detector = create_model("spatialmamba-xs", head="mask-rcnn", num_classes=3, pretrained=path)
    state = network.backbone.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in detector.backbone.state_dict().items())
    assert "fresh are neck, rpn_head, roi_head" in capsys.readouterr().err
