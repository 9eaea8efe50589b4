"""State-space vision models for medical volumes: train, predict, evaluate, view."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Loaded on first use, so that `import medssm` and `medssm --help` stay instant.
_PUBLIC = {
    "create_model": "medssm.checkpoints",
    "list_models": "medssm.models",
    "load": "medssm.inference",
    "Segmentation": "medssm.inference",
}
__all__ = ["Segmentation", "__version__", "create_model", "list_models", "load"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'medssm' has no attribute {name!r}")
