"""A scan in, its segmentation out; an image or a video in, its classes or its objects out."""

from medssm.inference.classification import Candidate, Classification, Classifier
from medssm.inference.detection import DetectedObject, Detection, Detector
from medssm.inference.loading import load, load_classifier, load_detector, load_predictor, load_segmenter
from medssm.inference.memory import MemoryEstimate, parse_memory
from medssm.inference.predictor import Predictor, PredictSettings
from medssm.inference.segmentation import Segmentation
from medssm.inference.semantic import LabelMap, SemanticSegmenter
from medssm.inference.statistics import OrganStatistics
from medssm.inference.windows import segment

__all__ = [
    "Candidate",
    "Classification",
    "Classifier",
    "DetectedObject",
    "Detection",
    "Detector",
    "LabelMap",
    "MemoryEstimate",
    "OrganStatistics",
    "PredictSettings",
    "Predictor",
    "Segmentation",
    "SemanticSegmenter",
    "load",
    "load_classifier",
    "load_detector",
    "load_predictor",
    "load_segmenter",
    "parse_memory",
    "segment",
]
