"""From proposals to losses and detections: crafted outputs of the heads, and plain loops beside ours."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from medssm.models.detection import CASCADE_MASK_RCNN, MASK_RCNN, Objects
from medssm.models.detection.cascade import Cascade
from medssm.models.detection.settings import Sampling

ALL = Sampling(1000, 0.5, True)
SMALL = {"neck_channels": 4, "box_features": 8, "box_channels": 4, "roi_sampling": ALL}
SIZES = [(128, 160), (100, 150)]


class Given(nn.Module):
    """A head that has its answers ready, call after call."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)

    def forward(self, features):
        answer = self.answers.pop(0)
        assert len(features) == len(answer[0] if isinstance(answer, tuple) else answer)
        return answer


def pyramid():
    torch.manual_seed(0)
    return [torch.randn(2, 4, 128 // stride, 160 // stride) for stride in MASK_RCNN.strides]


def targets():
    masks = torch.zeros(2, 128, 160, dtype=torch.bool)
    masks[0, 10:50, 10:60] = True
    masks[1, 60:100, 70:140] = True
    boxes = torch.tensor([[10.0, 10.0, 60.0, 50.0], [70.0, 60.0, 140.0, 100.0]])
    return [
        Objects(boxes, torch.tensor([2, 0]), masks, 0),
        Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), masks[:0], 1),
    ]


# Of the first image near its first object (twice) and nothing, of the second, which is empty, anything.
PROPOSALS = [
    torch.tensor([[12.0, 8.0, 62.0, 52.0], [100.0, 5.0, 130.0, 30.0], [14.0, 10.0, 60.0, 50.0]]),
    torch.tensor([[0.0, 0.0, 50.0, 60.0], [20.0, 30.0, 80.0, 90.0]]),
]
# As they are sampled: objects, matched proposals, others; and the object of the first four.
BOXES = torch.cat([targets()[0].boxes, PROPOSALS[0][[0, 2, 1]], PROPOSALS[1]])
OWNERS = [0, 1, 0, 0]
LABELS = [2, 0, 2, 2, 3, 3, 3]


def plain_losses(logits, deltas, masks, truth, stds):
    """Mean cross entropy, mean L1 and mean binary cross entropy, value by value."""
    cross = sum(torch.logsumexp(row, 0) - row[k] for row, k in zip(logits, LABELS, strict=True))
    l1 = 0.0
    for box, owner, row in zip(BOXES[:4], OWNERS, deltas[:4], strict=True):
        (x1, y1, x2, y2), (u1, v1, u2, v2) = box.tolist(), targets()[0].boxes[owner].tolist()
        wanted = [
            ((u1 + u2) / 2 - (x1 + x2) / 2) / (x2 - x1),
            ((v1 + v2) / 2 - (y1 + y2) / 2) / (y2 - y1),
            math.log((u2 - u1) / (x2 - x1)),
            math.log((v2 - v1) / (y2 - y1)),
        ]
        given = row[targets()[0].labels[owner]].tolist()
        l1 += sum(abs(a - b / s) for a, b, s in zip(given, wanted, stds, strict=True))
    chosen = torch.stack([masks[k, LABELS[k]] for k in range(4)])
    binary = (chosen.clamp(min=0) - chosen * truth + (-chosen.abs()).exp().log1p()).mean()
    return {"class": cross.item() / 7, "box": l1 / 7, "mask": binary.item()}


def test_losses_are_means_over_the_sample():
    cascade = Cascade(3, replace(MASK_RCNN, **SMALL))
    torch.manual_seed(1)
    logits, deltas, masks = torch.randn(7, 4), torch.randn(7, 3, 4), torch.randn(4, 3, 28, 28)
    cascade.bbox_head, cascade.mask_head = Given((logits, deltas)), Given(masks)
    ours = cascade.losses(pyramid(), SIZES, PROPOSALS, targets(), [torch.Generator()] * 2)
    truth = torch.ones(4, 28, 28)
    rows = 8 + (torch.arange(28) + 0.5) / 28 * 44  # the third box reaches over its object above, below and on the right
    columns = 12 + (torch.arange(28) + 0.5) / 28 * 50
    truth[2] = ((rows > 10) & (rows < 50))[:, None] & (columns < 60)
    expected = plain_losses(logits, deltas, masks, truth, (0.1, 0.1, 0.2, 0.2))
    assert ours["class"].item() == pytest.approx(expected["class"], rel=1e-5)
    assert ours["box"].item() == pytest.approx(expected["box"], rel=1e-4)
    assert ours["mask"].item() == pytest.approx(expected["mask"], rel=1e-3)


def plain_giou(a, b):
    width, height = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union - (hull - union) / hull


def test_the_cascades_stages_start_from_moved_boxes_and_are_weighted():
    """Stage 1 moves everything 10 pixels to the right, as stage 2 sees; deltas of other classes do something else."""
    settings = replace(CASCADE_MASK_RCNN, stages=CASCADE_MASK_RCNN.stages[:2], **SMALL)
    cascade = Cascade(3, settings)
    logits = torch.zeros(7, 4)
    logits[:, 1] = 1.0  # what boxes of the background are taken for
    deltas = torch.full((7, 3, 4), 9.0)
    sides = BOXES[:, 2] - BOXES[:, 0]
    for row, (label, side) in enumerate(zip(LABELS, sides.tolist(), strict=True)):
        deltas[row, 1 if label == 3 else label] = torch.tensor([10 / side / 0.1, 0.0, 0.0, 0.0])
    seen = []
    second = Given((torch.zeros(7, 4), torch.zeros(7, 3, 4)))
    second.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    cascade.bbox_head = nn.ModuleList([Given((logits, deltas)), second])
    # Of the moved boxes only the one that began 4 pixels off is still close enough for the second stage's 0.6.
    moved = [
        (PROPOSALS[0][[0, 2, 1]] + torch.tensor([10.0, 0.0, 10.0, 0.0])),
        (PROPOSALS[1] + torch.tensor([10.0, 0.0, 10.0, 0.0])),
    ]
    shared = [plain_overlap(box, targets()[0].boxes[0].tolist()) for box in moved[0].tolist()]
    positives = sum(value >= 0.6 for value in shared) + 2
    cascade.mask_head = nn.ModuleList([Given(torch.zeros(4, 3, 28, 28)), Given(torch.zeros(positives, 3, 28, 28))])
    ours = cascade.losses(pyramid(), SIZES, PROPOSALS, targets(), [torch.Generator()] * 2)

    expected = []
    for box, owner in zip(BOXES[:4].tolist(), OWNERS, strict=True):
        shifted = [box[0] + 10, box[1], box[2] + 10, box[3]]
        expected.append(1 - plain_giou(shifted, targets()[0].boxes[owner].tolist()))
    again = [
        1 - plain_giou(b, targets()[0].boxes[0].tolist())
        for b, s in zip(moved[0].tolist(), shared, strict=True)
        if s >= 0.6
    ]
    assert ours["box"].item() == pytest.approx(10 * (sum(expected) / 7 + 0.5 * sum(again) / 7), rel=1e-4)
    assert ours["mask"].item() == pytest.approx((1 + 0.5) * math.log(2), rel=1e-5)
    first = (4 * (math.log(3 + math.e)) + 3 * math.log(3 + math.e)) / 7
    assert ours["class"].item() == pytest.approx(first + 0.5 * math.log(4), rel=1e-5)
    assert seen[0].shape == (7, 4, 7, 7)


def plain_overlap(a, b):
    width, height = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def plain_detections(boxes, scores, limit):
    """Greedy suppression class by class, then the best of all."""
    candidates = [(s.item(), k, c) for k, row in enumerate(scores) for c, s in enumerate(row[:-1]) if s > 0.05]
    kept = []
    for score, k, c in sorted(candidates, reverse=True):
        if all(c != other or plain_overlap(boxes[k][c], boxes[j][other]) <= 0.5 for _, j, other in kept):
            kept.append((score, k, c))
    return kept[:limit]


def test_detections_are_the_best_of_each_class_without_their_doubles():
    torch.manual_seed(2)
    settings = replace(MASK_RCNN, detections=6, **SMALL)
    cascade = Cascade(3, settings)
    start = 60 * torch.rand(20, 2)
    boxes = torch.cat([start, start + 30 + 10 * torch.rand(20, 2)], dim=1)
    logits, deltas = 3 * torch.randn(20, 4), 0.3 * torch.randn(20, 3, 4)
    masks = torch.randn(6, 3, 28, 28)
    cascade.bbox_head, cascade.mask_head = Given((logits, deltas)), Given(masks)
    ours, nothing = cascade.detect(pyramid(), SIZES, [boxes, boxes[:0]])
    placed = []
    for (x1, y1, x2, y2), row in zip(boxes.tolist(), deltas.tolist(), strict=True):
        w, h = x2 - x1, y2 - y1
        placed.append([])
        for dx, dy, dw, dh in row:
            cx, cy = (x1 + x2) / 2 + 0.1 * dx * w, (y1 + y2) / 2 + 0.1 * dy * h
            p, q = w * math.exp(0.2 * dw), h * math.exp(0.2 * dh)
            corners = (cx - p / 2, cy - q / 2, cx + p / 2, cy + q / 2)
            placed[-1].append([min(max(x, 0.0), (160.0, 128.0)[k % 2]) for k, x in enumerate(corners)])
    expected = plain_detections(placed, logits.softmax(dim=1), 6)
    assert len(expected) == 6
    assert ours.labels.tolist() == [c for _, _, c in expected]
    torch.testing.assert_close(ours.scores, torch.tensor([s for s, _, _ in expected]))
    torch.testing.assert_close(ours.boxes, torch.tensor([placed[k][c] for _, k, c in expected]), rtol=1e-4, atol=1e-3)
    chosen = torch.stack([masks[n, c] for n, (_, _, c) in enumerate(expected)])
    torch.testing.assert_close(ours.masks, chosen.sigmoid())
    assert [len(part) for part in nothing] == [0, 0, 0, 0]


def test_the_cascade_moves_boxes_by_their_likeliest_class_and_averages_stages():
    settings = replace(CASCADE_MASK_RCNN, **SMALL)
    cascade = Cascade(2, settings)
    logits = [torch.tensor([[4.0, 1.0, 6.0]]), torch.tensor([[1.0, 3.0, 0.0]]), torch.tensor([[5.0, 0.0, 0.0]])]
    shifts = [torch.zeros(1, 2, 4) for _ in logits]
    shifts[0][0, 0, 0] = 1.0  # a tenth of the side; the background is likelier than class 0, but does not move boxes
    shifts[1][0, 1, 1] = 2.0  # a tenth
    shifts[2][0, 0, 0] = 3.0  # a tenth, nearly
    cascade.bbox_head = nn.ModuleList(Given(pair) for pair in zip(logits, shifts, strict=True))
    masks = [torch.full((1, 2, 28, 28), value) for value in (-2.0, 0.0, 3.0)]
    mask_heads = [Given(mask) for mask in masks]
    cascade.mask_head = nn.ModuleList(mask_heads)
    cascade.settings = replace(settings, score_from=0.5)
    boxes = [torch.tensor([[20.0, 30.0, 60.0, 70.0]]), torch.zeros(0, 4)]
    found = cascade.detect(pyramid(), SIZES, boxes)[0]
    assert found.labels.tolist() == [0]
    torch.testing.assert_close(found.boxes, torch.tensor([[27.96, 34.0, 67.96, 74.0]]))
    mean = torch.stack(logits).mean(dim=0).softmax(dim=1)
    torch.testing.assert_close(found.scores, mean[0, :1])
    probability = sum(1 / (1 + math.exp(-x)) for x in (-2.0, 0.0, 3.0)) / 3
    torch.testing.assert_close(found.masks, torch.full((1, 28, 28), probability))


def test_without_anything_above_the_least_score_nothing_is_found():
    cascade = Cascade(3, replace(MASK_RCNN, **SMALL))
    logits = torch.tensor([[0.0, 0.0, 0.0, 9.0]]).repeat(5, 1)
    cascade.bbox_head = Given((logits, torch.zeros(5, 3, 4)))
    for found in cascade.detect(pyramid(), SIZES, PROPOSALS):
        assert found.boxes.shape == (0, 4)
        assert found.masks.shape == (0, 28, 28)
