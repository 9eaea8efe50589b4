"""Volume in, segmentation out."""

from medssm.inference.memory import MemoryEstimate, parse_memory
from medssm.inference.predictor import Predictor, PredictSettings, load
from medssm.inference.segmentation import Segmentation
from medssm.inference.statistics import OrganStatistics
from medssm.inference.windows import segment

__all__ = [
    "MemoryEstimate",
    "OrganStatistics",
    "PredictSettings",
    "Predictor",
    "Segmentation",
    "load",
    "parse_memory",
    "segment",
]
