"""The pages that are made from the code: commands, recipes, models and the Python reference. A hook of MkDocs.

Each function gives pages as path -> Markdown, so that the tests read them without building a site.
"""

import inspect
import os
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import typer.main

import medssm
from medssm.cli.main import build_app
from medssm.models import ModelInfo, list_models, model_info
from medssm.models.counts import kept_counts
from medssm.recipes import list_recipes

Pages = dict[str, str]


def all_pages() -> dict[str, Pages]:
    """Title and pages of each part that is made; the first page of a part is its overview."""
    return {"Commands": command_pages(), "Recipes": recipe_pages(), "Python": reference_pages()}


def on_config(config: Any) -> Any:
    """Puts the pages into the navigation, in place of the titles that stand there for them."""
    made = all_pages()
    config.extra["made"] = {**made, "Models": {"models.md": models_page()}}
    for entry in config.nav:
        for title in entry:
            if title in made:
                entry[title] = list(made[title])
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages to the site's."""
    from mkdocs.structure.files import File

    for pages in config.extra["made"].values():
        for path, text in pages.items():
            files.append(File.generated(config, path, content=text))
    return files


def command_pages() -> Pages:
    """A page for each command of `medssm`, from its own help."""
    group: Any = typer.main.get_command(build_app())
    rows = [(f"[`medssm {name}`]({name}.md)", _first_line(command)) for name, command in group.commands.items()]
    overview = f"# Commands\n\n{_prose(group.help)}\n\n{_table(('command', 'does'), rows)}\n\n{_prose(group.epilog)}\n"
    pages = {f"commands/{name}.md": _command_page(name, command) for name, command in group.commands.items()}
    return {"commands/index.md": overview, **pages}


def _command_page(name: str, command: Any) -> str:
    parts = getattr(command, "commands", None)
    if parts is None:
        return f"# medssm {name}\n\n{_command(f'medssm {name}', command)}"
    sections = [f"## medssm {name} {part}\n\n{_command(f'medssm {name} {part}', parts[part])}" for part in parts]
    return "\n".join([f"# medssm {name}\n\n{_prose(command.help)}\n", *sections])


def _command(typed: str, command: Any) -> str:
    """Usage, help and a table of what a command takes."""
    context = command.make_context(typed, [], resilient_parsing=True)
    records = [(parameter, parameter.get_help_record(context)) for parameter in command.params]
    rows = [(_taken(parameter, record[0]), _prose(record[1])) for parameter, record in records if record]
    arguments = [taken.strip("`") for taken, _ in rows if not taken.startswith("`-")]
    usage = " ".join([typed, *(["[OPTIONS]"] if len(rows) > len(arguments) else []), *arguments])
    table = f"\n\n{_table(('takes', ''), rows)}" if rows else ""
    return f"```text\n{usage}\n```\n\n{_prose(command.help)}{table}\n"


def _taken(parameter: Any, listed: str) -> str:
    """An option with its kind of value, or an argument as it is called."""
    name = listed.partition(" <")[0] if parameter.param_type_name == "argument" else listed
    return f"`{name}`"


def recipe_pages() -> Pages:
    """A page for each recipe: what its first comment says, then the file with the source of each value."""
    texts = {name: (files("medssm.recipes") / f"{name}.yaml").read_text(encoding="utf-8") for name in list_recipes()}
    rows = [(f"[`{name}`]({name}.md)", _prose(_lead(text)[0])) for name, text in texts.items()]
    pages = {f"recipes/{name}.md": _recipe_page(name, text) for name, text in texts.items()}
    return {"recipes/index.md": f"# Recipes\n\n{_RECIPES}\n\n{_table(('recipe', 'trains'), rows)}\n", **pages}


_RECIPES = (
    "`medssm train RECIPE` takes one of these names or the path of a YAML file of your own, which may be laid over one "
    "of them (`base: btcv`). `--set section.key=value` changes one value; an unknown key is an error that names the "
    "nearest known one."
)


def _recipe_page(name: str, text: str) -> str:
    lead = "\n\n".join(
        f"```text\n{part.strip()}\n```" if part.startswith("  ") else _prose(part) for part in _lead(text)
    )
    body = text.split("\n\n", 1)[1] if text.startswith("#") else text
    return f"# {name}\n\n{lead}\n\n```yaml\n{body.rstrip()}\n```\n"


def _lead(text: str) -> list[str]:
    """Paragraphs and indented lines of the comment that a file begins with."""
    comment = re.match(r"(#.*\n)*", text)
    lines = [line[1:].removeprefix(" ") for line in (comment[0] if comment else "").splitlines()]
    marked = re.sub(r"\n(?=  )", "\n\n", "\n".join(lines))
    return [part.rstrip() for part in re.split(r"\n\s*\n(?=\S)|\n\n(?=  )", marked) if part.strip()]


def models_page() -> str:
    """Every network of the registry, by task, with counted and published figures."""
    sections = [_MODELS]
    for title, task in (("Volumes", "segmentation"), ("Images", "classification"), ("Clips", "video")):
        rows = [_model_row(model_info(name)) for name in list_models(task)]  # type: ignore[arg-type]
        heads = ("model", "what", "input", "parameters, M", "multiply-adds, G", "published", "licence of the weights")
        sections.append(f"## {title}\n\n{_table(heads, rows)}")
    dense = [
        (f"`{info.name}`", entry.head, entry.schedule, entry.score, entry.results[0].source)
        for info in map(model_info, list_models())
        for entry in info.dense
    ]
    heads = ("backbone", "head", "trained", "published", "source")
    sections.append(
        f"## Detectors and segmenters\n\nAny network for images goes under these heads.\n\n{_table(heads, dense)}"
    )
    return "\n\n".join(sections) + "\n"


_MODELS = (
    "# Models\n\nWhat `medssm models` lists, made from the same table; `medssm models NAME` shows the parts of one. "
    "Parameters and multiply-adds are counted for one input. Published figures are those of the authors: "
    "[Measured](measured.md) says how ours compare, and what was not trained by us. Those of MONAI and of other "
    "packages are told of in [Add a model](howto/new_model.md)."
)


def _model_row(info: ModelInfo) -> tuple[str, ...]:
    counts = kept_counts(info)
    result = info.result
    return (
        f"`{info.name}`",
        _prose(info.title),
        "x".join(map(str, info.input_size)),
        f"{counts.parameters / 1e6:.2f}",
        f"{counts.cost.multiply_adds / 1e9:.2f}",
        _prose(f"{result.metric} {result.value}, {result.dataset} ({result.source})") if result else "–",
        _prose(info.weights.licence) if info.weights else "–",
    )


def reference_pages() -> Pages:
    """A page for each package that offers something, with the docstrings of what it offers; each stands there once."""
    pages, told = {}, set()
    # An editable installation has no folder with all parts in it; the layout that the docstrings are read from has.
    places = [str(Path(os.environ.get("MEDSSM_LAYOUT", "build/typed"), "medssm").resolve()), *medssm.__path__]
    for name in ["medssm", *sorted({m.name for m in walk_packages(places, "medssm.") if m.ispkg})]:
        package = import_module(name)
        offered = [place for place in _places(package) if place not in told]
        told.update(offered)
        if offered:
            body = "\n\n".join(f"::: {place}" for place in offered)
            pages[f"reference/{name}.md"] = f"# {name}\n\n{_prose(inspect.getdoc(package) or '')}\n\n{body}\n"
    rows = [(f"[`{path[10:-3]}`]({path[10:]})", text.split("\n\n")[1]) for path, text in pages.items()]
    return {"reference/index.md": f"# Python\n\n{_table(('package', 'holds'), rows)}\n", **pages}


def _places(package: Any) -> Iterator[str]:
    """Where the public classes and functions of a package are written down."""
    for name in getattr(package, "__all__", ()):
        found = getattr(package, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            yield f"{found.__module__}.{found.__qualname__}"


def _first_line(command: Any) -> str:
    return _prose((command.help or "").split("\n\n")[0])


def _prose(text: str) -> str:
    """Text of the code as Markdown, in which < outside of code would open a tag."""
    parts = re.split(r"(`[^`]*`)", inspect.cleandoc(text))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def _table(headings: tuple[str, ...], rows: list[Any]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
