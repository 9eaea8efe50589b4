"""A scan in, its segmentation out; an image or a video in, its classes or its objects out."""

from medssm.inference.classification import Candidate, Classification, Classifier
from medssm.inference.detection import DetectedObject, Detection, Detector
from medssm.inference.loading import load, load_classifier, load_detector, load_predictor
from medssm.inference.memory import MemoryEstimate, parse_memory
from medssm.inference.predictor import Predictor, PredictSettings
from medssm.inference.segmentation import Segmentation
from medssm.inference.statistics import OrganStatistics
from medssm.inference.windows import segment

__all__ = [
    "Candidate",
    "Classification",
    "Classifier",
    "DetectedObject",
    "Detection",
    "Detector",
    "MemoryEstimate",
    "OrganStatistics",
    "PredictSettings",
    "Predictor",
    "Segmentation",
    "load",
    "load_classifier",
    "load_detector",
    "load_predictor",
    "parse_memory",
    "segment",
]
