"""Proposals and the losses of their head, beside plain loops."""

import math
from dataclasses import replace

import pytest
import torch

from medssm.models.detection import CASCADE_MASK_RCNN, MASK_RCNN, Objects
from medssm.models.detection.rpn import ProposalHead
from medssm.models.detection.settings import Limits, Sampling

# One anchor of 16x16 pixels at each corner of a cell of 8x8, all of which are sampled.
ONE_LEVEL = replace(
    MASK_RCNN, strides=(8,), anchor_scale=2.0, anchor_ratios=(1.0,), anchor_sampling=Sampling(1000, 0.5, False)
)


def plain_overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def softplus(x):
    return math.log(1 + math.exp(x))


def distance(x, beta):
    return x * x / 2 / beta if abs(x) < beta else abs(x) - beta / 2


@pytest.mark.parametrize("beta", [0.0, 1 / 9])
def test_losses_are_the_means_over_the_sampled_anchors(beta):
    """Objects on whole anchors (positive), half on one (best, hence positive), and partly on several (ignored)."""
    torch.manual_seed(0)
    head = ProposalHead(replace(ONE_LEVEL, rpn_beta=beta))
    objects = [[8.0, 8.0, 24.0, 24.0], [33.0, 0.0, 57.0, 18.0], [5.0, 40.0, 20.0, 60.0]]
    target = Objects(torch.tensor(objects), torch.zeros(3, dtype=torch.long), torch.zeros(3, 64, 64), seed=0)
    objectness, deltas = torch.randn(1, 1, 8, 8), torch.randn(1, 4, 8, 8)
    ours = head.losses([objectness], [deltas], [(64, 64)], [target], [torch.Generator()])

    anchors = [[8 * j - 8.0, 8 * i - 8.0, 8 * j + 8.0, 8 * i + 8.0] for i in range(8) for j in range(8)]
    shared = [[plain_overlap(o, a) for a in anchors] for o in objects]
    best = [max(row) for row in shared]
    class_sum, box_sum, sampled, positives = 0.0, 0.0, 0, 0
    for number, anchor in enumerate(anchors):
        column = [row[number] for row in shared]
        owner = max(range(3), key=column.__getitem__)
        owners = [k for k in range(3) if column[k] == best[k] >= 0.3] or ([owner] if column[owner] >= 0.7 else [])
        logit = objectness.flatten()[number].item()
        if owners:
            x1, y1, x2, y2 = objects[owners[-1]]
            cx, cy = (anchor[0] + anchor[2]) / 2, (anchor[1] + anchor[3]) / 2
            wanted = (
                ((x1 + x2) / 2 - cx) / 16,
                ((y1 + y2) / 2 - cy) / 16,
                math.log((x2 - x1) / 16),
                math.log((y2 - y1) / 16),
            )
            given = deltas[0].flatten(1)[:, number].tolist()
            differences = [a - b for a, b in zip(given, wanted, strict=True)]
            box_sum += sum(distance(x, beta) if beta else abs(x) for x in differences)
            class_sum += softplus(-logit)
            positives += 1
        elif max(column) < 0.3:
            class_sum += softplus(logit)
        sampled += bool(owners) or max(column) < 0.3
    assert positives == 3
    assert sampled < len(anchors)
    assert ours["rpn_class"].item() == pytest.approx(class_sum / sampled, rel=1e-5)
    assert ours["rpn_box"].item() == pytest.approx(box_sum / sampled, rel=1e-5)


def plain_suppression(boxes, scores, levels, limit):
    order = sorted(range(len(boxes)), key=lambda k: -scores[k])
    kept = []
    for k in order:
        if all(levels[k] != levels[j] or plain_overlap(boxes[k], boxes[j]) <= limit for j in kept):
            kept.append(k)
    return kept


def test_proposals_are_the_best_of_each_level_without_their_doubles():
    """Image after image, the smaller one ending before its padding."""
    torch.manual_seed(1)
    settings = replace(MASK_RCNN, strides=(16, 32), anchor_scale=2.0)
    head = ProposalHead(settings)
    maps = [(torch.randn(2, 3, n, n), 0.3 * torch.randn(2, 12, n, n)) for n in (4, 2)]
    sizes = [(64, 64), (40, 52)]
    found = head.proposals(*zip(*maps, strict=True), sizes, Limits(per_level=20, per_image=9))
    for image, (size, ours) in enumerate(zip(sizes, found, strict=True)):
        boxes, scores, levels = [], [], []
        for level, (objectness, deltas) in enumerate(maps):
            stride, cells = (16, 32)[level], []
            for i, j, r in [(i, j, r) for i in range(4 >> level) for j in range(4 >> level) for r in range(3)]:
                root = math.sqrt((0.5, 1.0, 2.0)[r])
                w, h = 2 * stride / root, 2 * stride * root
                dx, dy, dw, dh = deltas[image, 4 * r : 4 * r + 4, i, j].tolist()
                cx, cy, w, h = j * stride + dx * w, i * stride + dy * h, w * math.exp(dw), h * math.exp(dh)
                box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                box = [min(max(x, 0.0), size[1 - k % 2]) for k, x in enumerate(box)]
                cells.append((1 / (1 + math.exp(-objectness[image, r, i, j].item())), box))
            for score, box in sorted(cells, reverse=True)[:20]:
                if box[2] > box[0] and box[3] > box[1]:
                    boxes.append(box), scores.append(score), levels.append(level)
        kept = plain_suppression(boxes, scores, levels, 0.7)[:9]
        torch.testing.assert_close(ours, torch.tensor([boxes[k] for k in kept]), rtol=1e-4, atol=1e-3)


def test_an_image_without_any_proposal_is_one_itself():
    head = ProposalHead(ONE_LEVEL)
    far = torch.zeros(1, 4, 2, 2)
    far[:, :2] = 1000.0
    assert head.proposals([torch.zeros(1, 1, 2, 2)], [far], [(13, 16)], Limits(9, 9))[0].tolist() == [[0, 0, 16, 13]]


def test_the_published_numbers():
    assert MASK_RCNN.training_proposals == Limits(2000, 1000)
    assert CASCADE_MASK_RCNN.training_proposals == Limits(2000, 2000)
    assert MASK_RCNN.test_proposals == CASCADE_MASK_RCNN.test_proposals == Limits(1000, 1000)
    assert MASK_RCNN.anchor_sampling == Sampling(256, 0.5, False)
    assert MASK_RCNN.roi_sampling == CASCADE_MASK_RCNN.roi_sampling == Sampling(512, 0.25, True)
    assert [stage.matching.positive for stage in CASCADE_MASK_RCNN.stages] == [0.5, 0.6, 0.7]
