"""YAML as people read it: `off` is a word and 1e-4 a number."""

import re
from typing import Any

import yaml

_LONGEST = 1 << 20  # characters


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2; PyYAML's own are those of 1.1, where `off` is false and 1e-4 a word."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node, which may be no alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read; write the values out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A section, whose keys are words."""
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        if strange := [key for key in found if not isinstance(key, str | int | float)]:
            raise yaml.YAMLError(f"{str(strange[0])[:40]} is no word that a key could be")
        return found


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

    Raises: yaml.YAMLError if it is no YAML, or YAML that no recipe needs: tags whose value does not fit them, aliases
        (a few of which can stand for more than memory holds), keys that are no words, and very deep or long texts.
    """
    if len(text) > _LONGEST:
        raise yaml.YAMLError(f"{len(text)} characters are more than a recipe has")
    try:
        return yaml.load(text, _Loader)
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError) as error:
        raise yaml.YAMLError(str(error).partition("\n")[0] or type(error).__name__) from error


def render(value: Any) -> str:
    """A value as YAML, keys in their order; `parse` reads it back."""
    return yaml.safe_dump(value, sort_keys=False, width=120)
