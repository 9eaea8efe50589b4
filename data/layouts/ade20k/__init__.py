"""Photographs whose every pixel has a class: ADE20K (ADEChallengeData2016), and sets of one's own laid out like it."""

from medssm.data.images.labels import IGNORED
from medssm.data.layouts.ade20k.categories import ADE20K_NAMES, ade20k_palette
from medssm.data.layouts.ade20k.dataset import Scene, SceneDataset, load_scenes, read_scene
from medssm.data.layouts.ade20k.labels import read_scene_labels

__all__ = [
    "ADE20K_NAMES",
    "IGNORED",
    "Scene",
    "SceneDataset",
    "ade20k_palette",
    "load_scenes",
    "read_scene",
    "read_scene_labels",
]
