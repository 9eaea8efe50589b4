"""A small network of the registry and a published-looking file of it."""

import sys
import types

import pytest
import torch
from torch import Tensor

from medssm.models import fresh_model


@pytest.fixture(scope="session")
def model():
    torch.manual_seed(0)
    return fresh_model("mamband-xs").eval()


@pytest.fixture(scope="session")
def state(model) -> dict[str, Tensor]:
    return model.state_dict()


@pytest.fixture
def saved(tmp_path):
    """Writes an object as torch.save does and gives the path."""

    def save(content, name="weights.pt"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def foreign(monkeypatch):
    """Classes under the module names of the training programs, importable only while a file is written."""

    def define(module, name, bases=(), **body):
        names = module.split(".")
        for end in range(1, len(names) + 1):
            parent = ".".join(names[:end])
            monkeypatch.setitem(sys.modules, parent, sys.modules.get(parent) or types.ModuleType(parent))
        kind = type(name, bases, {"__module__": module, **body})
        setattr(sys.modules[module], name, kind)
        return kind

    return define
