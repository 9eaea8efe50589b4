"""`medssm models` and `medssm weights` as a user types them."""

import json

import pytest
import torch
from typer.testing import CliRunner

from medssm.checkpoints import WeightsMetadata, save_weights
from medssm.cli.main import build_app
from medssm.models import fresh_model, list_heads, list_models


def run(*arguments):
    return CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


@pytest.fixture
def published(tmp_path):
    torch.save({"state_dict": fresh_model("mamband-xs").state_dict(), "epoch": 7}, tmp_path / "w.pt")
    return tmp_path / "w.pt"


def test_the_list_shows_every_model_with_its_published_dice_and_whose_it_is():
    shown = run("models").stdout
    assert all(name in shown for name in list_models())
    assert all(dice in shown for dice in ("83.1", "83.9", "82.7", "84.7", "ours"))
    assert "36.09 M" in shown
    assert all(head in shown for head in list_heads())


def test_an_image_network_shows_its_cost_beside_the_published_one():
    shown = run("models", "groupmamba_tiny").stdout
    for figure in ("groupmamba-t", "23,361,917", "4.65 G", "4.6 G (called FLOPs)", "top-1 83.3", "2407.13772"):
        assert figure in shown


def test_one_model_shows_parameters_cost_input_source_and_licence():
    shown = run("models", "mamband-s").stdout
    for figure in ("36,090,574", "215.82 G", "431.64 G", "96 x 96 x 96", "Dice 83.1", "2402.05892", "no licence file"):
        assert figure in shown


def test_a_network_shows_the_detectors_and_segmenters_on_it_and_writes_them_as_json(tmp_path):
    outcome = run("models", "spatialmamba-b", "--json", tmp_path / "b.json")
    shown = " ".join(outcome.stdout.replace("│", " ").split())
    assert "mask-rcnn, 1x box AP 50.4, mask AP 45.1 on COCO val2017" in shown
    assert "1176 G multiply-adds at 512 x 2048 (published 1176 G)" in shown
    [known] = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    detector, segmenter = known["dense"]
    assert [result["value"] for result in segmenter["results"]] == [51.8, 52.6]
    assert segmenter["counted"]["parameters"] == 127_399_100
    assert detector["input"]["long_side"] == 1333
    assert known["counted"]["multiply_adds"] == pytest.approx(15.68e9, rel=1e-3)


def test_inspect_names_a_head(tmp_path):
    network = fresh_model("spatialmamba-xs", head="upernet")
    torch.save({"state_dict": network.state_dict(), "meta": {}}, tmp_path / "segmenter.pth")
    outcome = run("weights", "inspect", tmp_path / "segmenter.pth")
    assert "spatialmamba-xs with upernet" in outcome.stdout
    assert "laid out as published" in outcome.stdout


def test_inspect_names_the_arguments_of_a_network(tmp_path):
    arguments = {"patch_size": (8, 8, 2)}
    metadata = WeightsMetadata(
        model="mamband-xs", arguments=arguments, num_classes=14, in_channels=1, input_size=(48, 48, 12)
    )
    save_weights(tmp_path / "w.safetensors", fresh_model("mamband-xs", arguments=arguments), metadata)
    assert "patch_size (8, 8, 2)" in run("weights", "inspect", tmp_path / "w.safetensors").stdout


def test_inspect_names_system_and_variant(published):
    outcome = run("weights", "inspect", published)
    assert outcome.exit_code == 0
    for word in ("Mamba-ND", "mamband-xs", "1,051,886", "epoch 7", "3.0, 3.0, 3.0"):
        assert word in outcome.stdout


def test_convert_writes_beside_the_file_and_not_twice(published):
    assert run("weights", "convert", published).exit_code == 0
    assert published.with_suffix(".safetensors").is_file()
    again = run("weights", "convert", published)
    assert "exists already" in str(again.exception)
    assert run("weights", "convert", published, "--overwrite").exit_code == 0
