"""Networks by name, and what is known of each."""

from medssm.models.heads import head_info, list_heads
from medssm.models.info import ModelInfo
from medssm.models.registry import fresh_model, list_models, model_info

__all__ = ["ModelInfo", "fresh_model", "head_info", "list_heads", "list_models", "model_info"]
