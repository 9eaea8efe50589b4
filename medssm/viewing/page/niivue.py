"""NiiVue's JavaScript, found in an installed package that carries it; the project holds no copy."""

import re
from importlib.util import find_spec
from pathlib import Path

from medssm.errors import MedssmError

# Where wheels carry it: nilearn as a plain script, ipyniivue inside the module of its widget.
_SCRIPT = ("nilearn", "_assets/js/niivue.umd.js")
_WIDGET = ("ipyniivue", "static/widget.js")

# The widget makes its one Niivue object right after this message, and exports only itself.
_CLASS_IN_WIDGET = re.compile(r'"Creating new Niivue instance".{0,200}?=\s*new\s+([\w$]+)\(', re.DOTALL)
_EXPORT = re.compile(r"export\s*\{[^{}]*\};?\s*$")

ADVICE = "pip install '.[notebook]' in medssm's source, or install nilearn 0.14 or newer"


def niivue_script() -> str:
    """A script that defines `niivue.Niivue`, for a page.

    Raises: MedssmError if no installed package holds one.
    """
    if script := _file_of(*_SCRIPT):
        return script.read_text(encoding="utf-8")
    if widget := _file_of(*_WIDGET):
        return _without_widget(widget.read_text(encoding="utf-8"), widget)
    raise MedssmError(f"no installed package holds the NiiVue viewer; {ADVICE}")


def _file_of(package: str, name: str) -> Path | None:
    """A file of a package that is not imported for it: nilearn would take seconds."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (path := Path(folder, name)).is_file():
            return path
    return None


def _without_widget(module: str, path: Path) -> str:
    """The widget's module as a script that hands out NiiVue's class instead of the widget."""
    name, export = _CLASS_IN_WIDGET.search(module), _EXPORT.search(module)
    if not name or not export:
        raise MedssmError(f"{path}: holds NiiVue in a form that is not known here; {ADVICE}, of another version")
    return f"(() => {{{module[: export.start()]}\nglobalThis.niivue = {{ Niivue: {name[1]} }};\n}})();"
