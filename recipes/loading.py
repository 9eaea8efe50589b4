"""From a recipe's name or file to the settings of one run."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeGuard, get_args

import yaml
from pydantic import BaseModel, ValidationError

from medssm.errors import UsageError, one_line, quoted
from medssm.models import check_arguments, is_model, model_info
from medssm.recipes.yaml_text import parse, render
from medssm.tasks import TASKS
from medssm.tasks.room import Room
from medssm.tasks.settings import Recipe
from medssm.training import TrainingSettings

_LONGEST_SHOWN = 120  # letters of a value in a sentence
_LONGEST_FAULT = 160  # letters of what is wrong with one
# What pydantic says in terms of Python's types.
_IN_WORDS = {
    "model_type": "must hold `key: value` lines",
    "model_attributes_type": "must hold `key: value` lines",
    "tuple_type": "must be a list",
}


def list_recipes() -> list[str]:
    """The names that `load_recipe` takes besides paths."""
    return sorted(file.name.removesuffix(".yaml") for file in files("medssm.recipes").iterdir() if _is_yaml(file.name))


def load_recipe(recipe: str | Path, model: str | None = None, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe resolved for one model: its base, its common part, the model's section, then the overrides.

    Args:
        recipe: a name or the path of a YAML file.
        model: one of `medssm models`; None for the recipe's own.
        overrides: dotted key -> value, for example {"run.max_steps": 100}.

    Raises: UsageError on an unknown recipe, model or key, or an impossible value.
    """
    name, layers = str(recipe), _layers(recipe)
    content = _common(layers)
    if (kind := str(content.get("task"))) not in TASKS:
        raise UsageError(f"{name}: task: must be one of {', '.join(TASKS)}, found {quoted(kind)}")
    task = TASKS[kind]
    overrides = overrides or {}
    model = model or overrides.get("model.name") or _mapping(name, "model", content.get("model", {})).get("name")
    if model is not None and not isinstance(model, str):
        raise UsageError(f"{name}: model.name must be one of `medssm models`, found {quoted(model)}")
    if model is not None:
        model = _of_task(name, task, model)
        content = resolved(name, layers, model)
    for key, value in overrides.items():
        content = merged(content, _nested(key, value))
    if model is not None:
        content = merged(content, {"model": {"name": model}})
    settings: type[Recipe] = task.settings
    try:
        checked = settings.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{name}: {first_fault(error, settings)}") from error
    check_arguments(checked.model.name, checked.model.arguments)
    return checked


def resolved(recipe: str, layers: Sequence[Mapping[str, Any]], model: str) -> dict[str, Any]:
    """What a recipe says for a model.

    Of each layer its common part, then its section of the model; so what a recipe says overrules all of its base.
    `model.arguments` beside the name of another model are that one's, and left out.

    Args:
        layers: contents of files, a base before what is laid over it.

    Raises: UsageError if `models` or a section is none, or the one that it is like.
    """
    content: dict[str, Any] = {}
    sections = [_mapping(recipe, "models", layer.get("models") or {}) for layer in layers]
    line = _line(recipe, _together(sections), model)
    for layer, own in zip(layers, sections, strict=True):
        content = merged(content, _for_model(recipe, {key: layer[key] for key in layer if key != "models"}, model))
        for ancestor in line:
            section = _mapping(recipe, f"models.{ancestor}", own.get(ancestor) or {})
            content = merged(content, {key: value for key, value in section.items() if key != "like"})
    return content


def _for_model(recipe: str, layer: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    """A layer without the arguments of a network that it names, where another one is asked for."""
    section = _mapping(recipe, "model", layer.get("model") or {})
    named = section.get("name", model)
    if "arguments" not in section or not isinstance(named, str) or not is_model(named):
        return layer
    if model_info(named).name == model:
        return layer
    return {**layer, "model": {key: value for key, value in section.items() if key != "arguments"}}


def _line(recipe: str, sections: Mapping[str, Any], model: str) -> list[str]:
    """The model, after those with whose sections its own begins: each is `like` the one before it."""
    section = _mapping(recipe, f"models.{model}", sections.get(model) or {})
    if (other := section.get("like")) is None:
        return [model]
    others = {name: value for name, value in sections.items() if name != model}
    if not isinstance(other, str) or other not in others:
        raise UsageError(f"{recipe}: models.{model}.like: there is no other section {quoted(other)}")
    return [*_line(recipe, others, other), model]


def _of_task(recipe: str, task: Room[Any, Any, Any], model: str) -> str:
    """The model's own name.

    Raises: UsageError if it is unknown, or not for what the recipe trains.
    """
    info = model_info(model)
    if info.task != task.networks:
        raise UsageError(
            f"{recipe}: trains {task.name}, but {info.name} is a model for {info.task}; the recipe for it is "
            f"{TASKS[info.task].example}"
        )
    return info.name


def parse_overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """Overrides from `key.path=value` texts.

    Raises: UsageError if one is not of that form.
    """
    overrides = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise UsageError(
                f"--set {one_line(assignment, _LONGEST_SHOWN)}: is not of the form key=value, such as run.batch_size=2"
            )
        try:
            overrides[key.strip()] = parse(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {one_line(key, _LONGEST_SHOWN)}: {quoted(value)} is no value; quote it") from error
    return overrides


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, which `load_recipe` reads back to the same."""
    return render(recipe.model_dump(mode="json"))


def differing_keys(a: BaseModel, b: BaseModel) -> set[str]:
    """Dotted keys at which two recipes differ."""
    one, two = _flat(a.model_dump()), _flat(b.model_dump())
    return {key for key in one.keys() | two.keys() if one.get(key) != two.get(key)}


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the changes laid over it, section by section; a section of another `kind` replaces the base's."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if _is_same_kind(old, value) else value
    return result


def _is_same_kind(old: Any, new: Any) -> TypeGuard[Mapping[str, Any]]:
    """True for two sections of which the new one names no other `kind`."""
    both = isinstance(old, Mapping) and isinstance(new, Mapping)
    return both and new.get("kind", old.get("kind")) == old.get("kind")


def first_fault(error: ValidationError, settings: type[BaseModel]) -> str:
    """The first fault of a recipe in words, with the nearest known key if one is unknown."""
    fault = error.errors()[0]
    key = one_line(".".join(str(part) for part in fault["loc"] if part not in _kinds()), _LONGEST_SHOWN)
    if fault["type"] == "missing":
        return f"{key}: {_missing(fault)}"
    if fault["type"] != "extra_forbidden":
        message = _IN_WORDS.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        found = "" if isinstance(fault["input"], dict) else f" (found {quoted(fault['input'])})"
        message = one_line(message, _LONGEST_FAULT)
        return f"{key}: {message[:1].lower()}{message[1:]}{found}".removeprefix(": ")
    if key in _keys(settings):  # of a section of another kind
        return f"{key}: there is no such key beside this {key.rpartition('.')[0]}.kind"
    nearest = nearest_key(key, settings)
    return f"{key}: there is no such key" + (f"; did you mean {nearest}?" if nearest else "")


def _missing(fault: Any) -> str:
    """What is not there, a key or an entry of a list, and beside what."""
    what = "has no such entry" if isinstance(fault["loc"][-1], int) else "is missing"
    return f"{what} (found {quoted(fault['input'])}); add it" if fault["input"] else f"{what}; add it"


def nearest_key(key: str, recipe: type[BaseModel]) -> str | None:
    """The known dotted key of a recipe that an unknown one most likely stands for."""
    known = sorted(set(_keys(recipe)))
    same_ending = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    return next(iter(same_ending or difflib.get_close_matches(key, known, n=1, cutoff=0.5)), None)


def _common(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the layers of a recipe say for every model."""
    content = _together(layers)
    content.pop("models", None)
    return content


def _together(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for layer in layers:
        content = merged(content, layer)
    return content


def _layers(recipe: str | Path, above: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """What a recipe says, after what its `base` says: a recipe's name, or a file beside this one.

    Args:
        above: the recipes that this one is the base of.

    Raises: UsageError if there is no such recipe, it is not YAML, or it is its own base.
    """
    content = _content(recipe)
    if (base := content.pop("base", None)) is None:
        return [content]
    beside = Path(recipe).parent / str(base)
    base = str(beside if beside.is_file() else base)
    if base in (*above, str(recipe)):
        raise UsageError(f"{recipe}: base: {base} is based on this recipe in turn; name another one")
    return [*_layers(base, (*above, str(recipe))), content]


def _content(recipe: str | Path) -> dict[str, Any]:
    packaged = files("medssm.recipes") / f"{recipe}.yaml"
    path = Path(recipe)
    if packaged.is_file() and not _is_yaml(path.name):
        text = packaged.read_text(encoding="utf-8")
    elif path.is_file():
        text = _read_text(path)
    else:
        nearest = difflib.get_close_matches(str(recipe).lower(), list_recipes(), n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"recipes are {', '.join(list_recipes())}"
        raise UsageError(f"{recipe}: no recipe of that name and no such file; {hint}")
    try:
        return dict(_mapping(str(recipe), "the file", parse(text)))
    except yaml.YAMLError as error:
        raise UsageError(f"{recipe}: is not YAML: {one_line(str(error), _LONGEST_SHOWN)}") from error


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no text in UTF-8 (byte {error.start}); save it as such") from error


def _mapping(recipe: str, where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{recipe}: {where} must hold `key: value` lines, found {quoted(value)}")
    return value


def _flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in section.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted keys of all that a section may hold."""
    for name, field in section.model_fields.items():
        yield prefix + name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _keys(kind, f"{prefix}{name}.")


def _kinds() -> set[str]:
    """The tags by which pydantic names the alternatives of a section; they are no part of a key."""
    alternatives = get_args(TrainingSettings.model_fields["schedule"].annotation)
    return {kind.model_fields["kind"].default for kind in alternatives}


def _is_yaml(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))
