"""Photographs whose every pixel has a class: ADE20K (ADEChallengeData2016), and sets of one's own laid out like it."""

from medssm.data.ade20k.categories import ADE20K_NAMES, ade20k_palette

__all__ = ["ADE20K_NAMES", "ade20k_palette"]
