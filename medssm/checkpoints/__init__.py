"""Weights in and out: our own format, run folders, and the files that others published."""

from medssm.checkpoints.hub import fetch_published
from medssm.checkpoints.inspection import Inspection, convert_weights, inspect_weights
from medssm.checkpoints.loading import load_model, load_weights
from medssm.checkpoints.metadata import WeightsMetadata
from medssm.checkpoints.own_format import save_weights
from medssm.checkpoints.starting import create_model

__all__ = [
    "Inspection",
    "WeightsMetadata",
    "convert_weights",
    "create_model",
    "fetch_published",
    "inspect_weights",
    "load_model",
    "load_weights",
    "save_weights",
]
