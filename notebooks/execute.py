"""Runs notebooks from a clean kernel in an empty folder, and writes them with light outputs.

python notebooks/execute.py                     all of them, where they lie
python notebooks/execute.py 03_nd_scans_explained --out FOLDER
"""

import argparse
import io
import os
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from medssm.files import atomic_path

FOLDER = Path(__file__).parent
# Of one form of an output; larger pictures become JPEG, and other forms are left out.
MOST_BYTES = 100_000
WIDEST = 1200  # pixels
# Warnings of libraries about their own future name the files that they are in.
ENVIRONMENT = {"PYTHONWARNINGS": "ignore::FutureWarning"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path) -> NotebookNode:
    """The notebook with the outputs of a run in an empty folder, without times and without what a machine is called.

    Raises: CellExecutionError if a cell does.
    """
    notebook = nbformat.read(path, as_version=4)
    settings = {"timeout": None, "record_timing": False, "coalesce_streams": True}
    with TemporaryDirectory() as folder:
        client = NotebookClient(notebook, resources={"metadata": {"path": folder}}, **settings)
        client.execute(env={**os.environ, **ENVIRONMENT})
    notebook.metadata = METADATA
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            lighten(output)
    return notebook


def lighten(output: NotebookNode) -> None:
    """Makes a large picture of an output smaller, and leaves out its other forms that are large."""
    data = output.get("data", {})
    if len(data.get("image/png", "")) * 3 // 4 > MOST_BYTES:
        data["image/jpeg"] = as_jpeg(data.pop("image/png"))
    for form in [form for form, content in data.items() if len(str(content)) * 3 // 4 > MOST_BYTES]:
        del data[form]


def as_jpeg(png: str) -> str:
    """A picture in base64 as JPEG with at most `MOST_BYTES`, at the best quality that fits."""
    picture = Image.open(io.BytesIO(b64decode(png))).convert("RGB")
    picture.thumbnail((WIDEST, WIDEST))
    for quality in range(90, 0, -10):
        stream = io.BytesIO()
        picture.save(stream, format="jpeg", quality=quality, optimize=True)
        if stream.tell() <= MOST_BYTES:
            break
    return b64encode(stream.getvalue()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of notebooks, without the suffix; all of them if none is given")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where they are written")
    arguments = parser.parse_args()
    for name in arguments.names or sorted(path.stem for path in FOLDER.glob("*.ipynb")):
        print(name, file=sys.stderr)
        notebook = executed(FOLDER / f"{name}.ipynb")
        with atomic_path(arguments.out / f"{name}.ipynb") as temporary:
            nbformat.write(notebook, temporary)


if __name__ == "__main__":
    main()
