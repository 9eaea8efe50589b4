"""Networks by name, and what is known of each."""

from medssm.models.heads import head_info, list_heads
from medssm.models.info import ModelInfo
from medssm.models.registry import (
    check_arguments,
    fresh_model,
    is_model,
    is_offered,
    list_models,
    model_info,
    plan_arguments,
)

__all__ = [
    "ModelInfo",
    "check_arguments",
    "fresh_model",
    "head_info",
    "is_model",
    "is_offered",
    "list_heads",
    "list_models",
    "model_info",
    "plan_arguments",
]
