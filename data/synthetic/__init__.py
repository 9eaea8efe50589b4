"""Synthetic datasets, drawn: a folder and a row each, written and cached in one way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SyntheticSet:
    """A dataset that can be drawn.

    Attributes:
        shows: what is in it, in a phrase.
        layout: the row of LAYOUTS that it is laid out as, where no other one is asked for.
        defaults: how many of its things are written, by argument.
        counted: what the arguments count.
        writer: imports what writes it: (folder, and those arguments by name, and seed).
    """

    shows: str
    layout: str
    defaults: Mapping[str, int]
    counted: str
    writer: Callable[[], Callable[..., None]]


def _phantom() -> Callable[..., None]:
    from medssm.data.synthetic.phantom import write_phantom

    return write_phantom


def _shapes() -> Callable[..., None]:
    from medssm.data.synthetic.shapes import write_shapes

    return write_shapes


def _objects() -> Callable[..., None]:
    from medssm.data.synthetic.objects import write_objects

    return write_objects


def _scenes() -> Callable[..., None]:
    from medssm.data.synthetic.scenes import write_scenes

    return write_scenes


def _motions() -> Callable[..., None]:
    from medssm.data.synthetic.motions import write_motions

    return write_motions


SYNTHETIC: dict[str, SyntheticSet] = {
    "phantom": SyntheticSet(
        "abdomen CT with 13 organs in BTCV's layout", "decathlon", {"cases": 16}, "cases", _phantom
    ),
    "shapes": SyntheticSet(
        "small images of ten patterns to classify, in ImageNet's layout",
        "imagenet",
        {"training": 100, "validation": 20},
        "images of each class",
        _shapes,
    ),
    "objects": SyntheticSet(
        "drawn objects with boxes, masks and crowds to detect, in COCO's layout",
        "coco",
        {"training": 400, "validation": 80},
        "images",
        _objects,
    ),
    "scenes": SyntheticSet(
        "small landscapes with label maps of eight classes, in ADE20K's layout",
        "ade20k",
        {"training": 400, "validation": 80},
        "scenes",
        _scenes,
    ),
    "motions": SyntheticSet(
        "videos of eight motions that no single frame tells apart, in the layout of UCF-101, HMDB-51 or Kinetics-400",
        "ucf101",
        {"training": 120, "validation": 20},
        "clips of each class",
        _motions,
    ),
}
