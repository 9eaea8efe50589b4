"""State-space vision models for medical volumes: train, predict, evaluate, view."""

from importlib import import_module
from pathlib import Path
from pkgutil import extend_path
from typing import Any

__version__ = "0.1.0"

# Python started in the project's root takes the folder medssm for the package, and half of its parts lie elsewhere.
if not Path(__file__).with_name("kernels").is_dir():
    __path__ = [path for path in extend_path(__path__, __name__) if Path(path, "kernels").is_dir()] or __path__

# Loaded on first use, so that `import medssm` and `medssm --help` stay instant.
_PUBLIC = {
    "create_model": "medssm.checkpoints",
    "list_models": "medssm.models",
    "load": "medssm.tasks.loading",
    "Segmentation": "medssm.tasks.segmentation.result",
    "view": "medssm.viewing.interactive",
}
__all__ = ["Segmentation", "__version__", "create_model", "list_models", "load", "view"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'medssm' has no attribute {name!r}")
