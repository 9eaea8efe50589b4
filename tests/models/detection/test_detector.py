"""Whole detectors: a step of training, images without objects or detections, and two processes beside one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from medssm.errors import UsageError
from medssm.models.detection import Objects, mask_rcnn, paste_masks

RANKS = Path(__file__).with_name("ranks.py")
HEADS = ["mask-rcnn", "cascade-mask-rcnn"]
NAMES = {"rpn_class", "rpn_box", "class", "box", "mask"}

_spec = importlib.util.spec_from_file_location("detector_ranks", RANKS)
ranks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ranks)


def step(network, images, sizes, targets):
    """The losses, with gradients left in the network."""
    losses = network.losses(images, sizes, targets)
    sum(losses.values()).backward()
    return {name: value.item() for name, value in losses.items()}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_parameter_learns(head, precision):
    network = ranks.detector(head)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        losses = network.losses(*ranks.batch())
    assert losses.keys() == NAMES
    assert all(value.dtype == torch.float32 and value > 0 for value in losses.values())
    sum(losses.values()).backward()
    coarse = ("neck.fpn_convs.2.", "neck.fpn_convs.3.")  # whose anchors are larger than these images
    for name, gradient in ranks.gradients(network).items():
        assert gradient.isfinite().all(), name
        assert gradient.any() or name.startswith(coarse), name


@pytest.mark.parametrize("head", HEADS)
def test_images_without_objects_teach_what_background_is(head):
    network = ranks.detector(head)
    images, sizes, targets = ranks.batch()
    empty = [targets[2]._replace(seed=seed) for seed in range(4)]
    losses = step(network, images, sizes, empty)
    assert losses["rpn_box"] == losses["box"] == losses["mask"] == 0
    assert losses["rpn_class"] > 0
    assert losses["class"] > 0
    assert all(gradient.isfinite().all() for gradient in ranks.gradients(network).values())


@pytest.mark.parametrize("head", HEADS)
def test_no_image_at_all_teaches_nothing(head):
    network = ranks.detector(head)
    images, sizes, targets = (values[:0] for values in ranks.batch())
    assert step(network, images, sizes, targets) == dict.fromkeys(NAMES, 0)
    assert not any(gradient.any() for gradient in ranks.gradients(network).values())
    assert network.detect(images, sizes) == []
    layers = network(images)
    assert {len(maps) for kind in layers for maps in kind} == {0}


def test_boxes_without_area_change_nothing():
    network = ranks.detector("mask-rcnn")
    images, sizes, targets = ranks.batch()
    expected = step(network, images, sizes, targets)
    first = targets[0]
    line = torch.tensor([[30.0, 20.0, 30.0, 60.0]])
    with_line = Objects(
        torch.cat([line, first.boxes]),
        torch.cat([torch.tensor([1]), first.labels]),
        torch.cat([torch.zeros(1, *ranks.SIZE, dtype=torch.bool), first.masks]),
        first.seed,
    )
    assert step(network, images, sizes, [with_line, *targets[1:]]) == expected


def test_samples_depend_on_the_images_seed_alone():
    """Not on the place in the batch, nor on the state of any other generator."""
    network = ranks.detector("cascade-mask-rcnn").eval()  # norms of the heads would look at the whole batch
    images, sizes, targets = ranks.batch()
    expected = step(network, images, sizes, targets)
    torch.manual_seed(1234)
    order = [2, 0, 3, 1]
    turned = step(network, images[order], [sizes[k] for k in order], [targets[k] for k in order])
    assert turned == pytest.approx(expected, rel=1e-5)
    others = [objects._replace(seed=objects.seed + 100) for objects in targets]
    assert step(network, images, sizes, others) != pytest.approx(expected, rel=1e-5)


def test_two_processes_have_the_gradients_of_one_with_both_batches(tmp_path):
    commands = [[sys.executable, str(RANKS), str(tmp_path), str(rank)] for rank in (0, 1)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [subprocess.Popen(c, env=environment, stderr=subprocess.PIPE, text=True) for c in commands]
    for process in processes:
        error = process.communicate()[1]
        assert process.returncode == 0, error
    held = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    for head in HEADS:
        network = ranks.detector(head)
        step(network, *ranks.batch())
        for name, expected in ranks.gradients(network).items():
            for ours in held:
                difference = (ours[head][name] - expected).abs().max()
                assert difference <= 1e-4 * expected.abs().max(), (head, name)


@pytest.mark.parametrize("head", HEADS)
def test_detections_lie_in_their_images_the_surest_first(head):
    network = ranks.detector(head).eval()
    images, sizes, _ = ranks.batch()
    found = network.detect(images, sizes)
    for (height, width), detections in zip(sizes, found, strict=True):
        count = len(detections.scores)
        assert 0 < count <= 100
        assert detections.boxes.shape == (count, 4)
        assert detections.masks.shape == (count, 28, 28)
        assert (detections.boxes >= 0).all()
        assert (detections.boxes[:, [0, 2]] <= width).all()
        assert (detections.boxes[:, [1, 3]] <= height).all()
        assert (detections.scores.diff() <= 0).all()
        assert detections.labels.max() < 3
        assert ((detections.masks >= 0) & (detections.masks <= 1)).all()


def test_an_image_gives_the_same_detections_beside_others():
    network = ranks.detector("mask-rcnn").eval()
    images, sizes, _ = ranks.batch()
    together = network.detect(images, sizes)[3]
    alone = network.detect(images[3:], sizes[3:])[0]
    for ours, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("head", HEADS)
def test_a_detector_learns_one_picture(head):
    """The box and the mask of its only object."""
    network = ranks.detector(head)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = ((rows - 30) ** 2 + (columns - 36) ** 2 < 18**2)[None]
    box = torch.tensor([[18.5, 12.5, 54.5, 48.5]])
    images = torch.where(disc, 1.0, -1.0).expand(1, 3, 64, 64).contiguous()
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    for seed in range(60):
        optimizer.zero_grad()
        step(network, images, [(64, 64)], [Objects(box, torch.tensor([1]), disc, seed)])
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
    found = network.eval().detect(images, [(64, 64)])[0]
    assert found.labels[0] == 1
    assert found.scores[0] > 0.5
    assert (found.boxes[0] - box[0]).abs().max() < 4
    pasted = paste_masks(found.masks[:1], found.boxes[:1], (64, 64))
    assert (pasted & disc).sum() / (pasted | disc).sum() > 0.8


def test_a_network_without_a_pyramid_gets_a_sentence():
    with pytest.raises(UsageError, match=r"Linear gives no pyramid of features; .*features_only=True"):
        mask_rcnn(nn.Linear(3, 3), 5)
