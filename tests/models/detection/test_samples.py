"""Which boxes are learned from."""

from math import inf

import pytest
import torch

from medssm.models.detection import MASK_RCNN, Objects
from medssm.models.detection.samples import BACKGROUND, IGNORED, averaged, drawn, matched, sampled, with_area
from medssm.models.detection.settings import Matching, Sampling

# Three objects, six boxes. The third box is best for both of the first objects; the last object has no good box.
SHARED = torch.tensor(
    [
        [0.75, 0.20, 0.60, 0.00, 0.10, 0.29],
        [0.10, 0.40, 0.65, 0.00, 0.65, 0.00],
        [0.00, 0.00, 0.00, 0.25, 0.00, 0.10],
    ]
)


def test_anchors_belong_to_what_they_overlap_enough_or_most():
    expected = [0, IGNORED, 1, BACKGROUND, 1, BACKGROUND]
    assert matched(SHARED, MASK_RCNN.anchor_matching).tolist() == expected


def test_an_object_takes_its_best_box_from_one_that_overlaps_it_more():
    """As the published networks were trained; torchvision would leave the box to object 0."""
    shared = torch.tensor([[0.8, 0.9], [0.5, 0.2]])
    assert matched(shared, Matching(0.7, 0.3, best_from=0.3)).tolist() == [1, 0]


def test_proposals_keep_no_poor_matches():
    matching = MASK_RCNN.stages[0].matching
    assert matching.best_from == inf
    assert matched(SHARED, matching).tolist() == [0, -1, 1, -1, 1, -1]


def test_without_objects_all_is_background():
    assert matched(torch.zeros(0, 4), MASK_RCNN.anchor_matching).tolist() == [BACKGROUND] * 4
    assert matched(torch.zeros(3, 0), MASK_RCNN.anchor_matching).tolist() == []


@pytest.mark.parametrize(("objects", "background", "counts"), [(90, 90, (8, 24)), (3, 90, (3, 29)), (90, 5, (8, 5))])
def test_background_fills_up_the_sample(objects, background, counts):
    matches = torch.cat([torch.full((objects,), 2), torch.full((7,), IGNORED), torch.full((background,), BACKGROUND)])
    positive, negative = drawn(matches, Sampling(32, 0.25, False), torch.Generator().manual_seed(3))
    assert (len(positive), len(negative)) == counts
    assert (matches[positive] == 2).all()
    assert (matches[negative] == BACKGROUND).all()
    assert len(set(positive.tolist() + negative.tolist())) == sum(counts)


def test_a_sample_depends_on_the_seed_alone():
    matches = torch.full((1000,), BACKGROUND)
    samples = [drawn(matches, Sampling(64, 0.5, False), torch.Generator().manual_seed(s))[1] for s in (1, 1, 2)]
    torch.manual_seed(99)
    assert torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[0], samples[2])


def objects_of(boxes, labels):
    return Objects(torch.tensor(boxes), torch.tensor(labels), torch.ones(len(boxes), 64, 64, dtype=torch.bool), seed=0)


def test_objects_are_proposals_of_themselves_and_come_first():
    objects = objects_of([[0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 40.0, 40.0]], [4, 2])
    proposals = torch.tensor([[50.0, 50.0, 60.0, 60.0], [21.0, 20.0, 40.0, 40.0]])
    sample = sampled(proposals, objects, Matching(0.5, 0.5), Sampling(16, 0.25, True), torch.Generator())
    assert sample.owners.tolist() == [0, 1, 1]
    assert sample.boxes.tolist() == [*objects.boxes.tolist(), proposals[1].tolist(), proposals[0].tolist()]
    assert sample.is_object.tolist() == [True, True, False, False]


def test_objects_without_area_are_left_out():
    objects = objects_of([[5.0, 5.0, 5.0, 9.0], [1.0, 1.0, 4.0, 4.0], [3.0, 8.0, 9.0, 8.0]], [0, 1, 2])
    kept = with_area(objects)
    assert kept.labels.tolist() == [1]
    assert len(kept.masks) == 1


@pytest.mark.parametrize(("count", "expected"), [(0, 1), (7, 7)])
def test_a_single_process_divides_by_its_own_number_if_there_is_one(count, expected):
    assert averaged(count, torch.device("cpu")).item() == expected
