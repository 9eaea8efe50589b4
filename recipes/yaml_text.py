"""YAML as people read it: `off` is a word and 1e-4 a number."""

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2; PyYAML's own are those of 1.1, where `off` is false and 1e-4 a word."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$"), list("-+.0123456789")
)


def parse(text: str) -> Any:
    """The value that a YAML text stands for.

    Raises: yaml.YAMLError if it is no YAML.
    """
    return yaml.load(text, _Loader)


def render(value: Any) -> str:
    """A value as YAML, keys in their order; `parse` reads it back."""
    return yaml.safe_dump(value, sort_keys=False, width=120)
