"""State-space vision models for medical volumes: train, predict, evaluate, view."""

import logging
from importlib import import_module
from pathlib import Path
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what an editor and a type checker see; Python finds the same in _PUBLIC
    from medssm.checkpoints import create_model as create_model
    from medssm.data.scans.volume import read_volume as read_volume
    from medssm.metrics import evaluate as evaluate
    from medssm.models import list_models as list_models
    from medssm.recipes import measure as validate
    from medssm.recipes import train as train
    from medssm.tasks.loading import load as load
    from medssm.tasks.segmentation.result import Segmentation as Segmentation
    from medssm.viewing.interactive import view as view

__version__ = "0.1.0"

# Python started in the project's root takes the folder medssm for the package, and half of its parts lie elsewhere.
if not Path(__file__).with_name("kernels").is_dir():
    __path__ = [path for path in extend_path(__path__, __name__) if Path(path, "kernels").is_dir()] or __path__

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless a program asks for what is logged

# Loaded on first use, so that `import medssm` and `medssm --help` stay instant.
_PUBLIC = {
    "Segmentation": "medssm.tasks.segmentation.result:Segmentation",
    "create_model": "medssm.checkpoints:create_model",
    "evaluate": "medssm.metrics:evaluate",
    "list_models": "medssm.models:list_models",
    "load": "medssm.tasks.loading:load",
    "read_volume": "medssm.data.scans.volume:read_volume",
    "train": "medssm.recipes:train",
    "validate": "medssm.recipes:measure",
    "view": "medssm.viewing.interactive:view",
}
__all__ = [
    "Segmentation",
    "__version__",
    "create_model",
    "evaluate",
    "list_models",
    "load",
    "read_volume",
    "train",
    "validate",
    "view",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'medssm' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
