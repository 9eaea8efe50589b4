"""Every notebook runs from a clean kernel and shows what it says; those in the project have light outputs."""

import ast
import base64
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import nbformat
import numpy as np
import pytest
from nbformat import NotebookNode

from medssm.data.scans.organs import BTCV_ORGANS

FOLDER = Path(__file__).parents[1] / "notebooks"
FIGURES = {
    "01_segment_a_scan": 1,
    "02_train_on_your_own_data": 3,
    "03_nd_scans_explained": 9,
    "04_compare_models": 2,
    "05_images_and_video": 4,
}
PICTURES = ("image/png", "image/jpeg")
QUICK = "01_segment_a_scan"  # a quick run executes this one, and looks of the others whether what they import exists


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def text_of(notebook: NotebookNode) -> str:
    """All that was printed, and tables."""
    found = outputs(notebook)
    return "".join(output.get("text", "") + output.get("data", {}).get("text/markdown", "") for output in found)


def pictures(notebook: NotebookNode) -> list[tuple[str, bytes]]:
    """Format and bytes of each picture."""
    forms = [output.get("data", {}) for output in outputs(notebook)]
    return [(form.split("/")[1], base64.b64decode(data[form])) for data in forms for form in PICTURES if form in data]


@pytest.fixture(scope="module")
def run(made_once: Callable[..., Path]):
    """A function that gives a notebook as it comes out of the project's own script, run once by all processes."""
    clean = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}

    def execute(name: str, folder: Path) -> None:
        command = [sys.executable, FOLDER / "execute.py", name, "--out", folder]
        result = subprocess.run(command, env=clean, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr[-3000:]

    def run(name: str) -> NotebookNode:
        folder = made_once(f"notebook-{name}", lambda folder: execute(name, folder))
        return nbformat.read(folder / f"{name}.ipynb", as_version=4)

    return run


def test_every_notebook_is_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_stored_notebook_is_short_light_and_says_nothing_of_where_it_was_made(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    content = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(content, as_version=4)
    nbformat.validate(notebook)
    assert 8 <= len(notebook.cells) <= 20
    assert len(content) < 700_000
    assert len(pictures(notebook)) == FIGURES[name]
    assert max(len(picture) for _, picture in pictures(notebook)) <= 100_000
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == list(
        range(1, 1 + sum(cell.cell_type == "code" for cell in notebook.cells))
    )
    assert not any(cell.metadata for cell in notebook.cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    without_pictures = re.sub(r'"image/(png|jpeg)": "[^"]*"', "", content)
    assert not re.search(r"(?<![\w.:/])/(tmp|home|root|work|usr|Users|var)\b|[A-Z]:\\\\", without_pictures)
    assert socket.gethostname() not in without_pictures
    assert not [
        output for output in outputs(notebook) if output.output_type == "error" or output.get("name") == "stderr"
    ]


@pytest.mark.parametrize("name", FIGURES)
def test_what_a_notebook_imports_exists(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    plain = re.sub(r"^[%!].*$", "", code, flags=re.MULTILINE)
    imports = [node for node in ast.walk(ast.parse(plain)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports
    exec(compile(ast.Module(imports, []), name, "exec"), {})


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != QUICK)) for name in FIGURES])
def test_a_notebook_runs_from_a_clean_kernel_and_draws_its_figures(run, name: str, tmp_path: Path) -> None:
    notebook = run(name)
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    found = pictures(notebook)
    assert len(found) == FIGURES[name]
    for number, (form, content) in enumerate(found):
        picture = tmp_path / f"{number}.{form}"
        picture.write_bytes(content)
        pixels = matplotlib.image.imread(picture)
        assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 20


def test_a_scan_comes_back_as_organs_in_its_own_geometry(run) -> None:
    text = text_of(run("01_segment_a_scan"))
    assert "same affine: True" in text
    for organ in BTCV_ORGANS.values():
        assert len(re.findall(rf"^{organ} +\d+\.\d ml +true +\d+\.\d ml$", text, re.MULTILINE)) == 1
    liver = re.search(r"^liver +Dice (\d\.\d\d)$", text, re.MULTILINE)
    assert liver
    assert float(liver[1]) > 0.3  # of a network that gives nothing it is 0


@pytest.mark.slow
def test_a_folder_becomes_a_trained_network(run) -> None:
    text = text_of(run("02_train_on_your_own_data"))
    assert re.search(r"label0002\.nii\.gz: .*30 mm", text)
    assert "'training': 3, 'validation': 1" in text
    assert "0 faults" in text
    assert "best.safetensors" in text
    for grid in ("network_grid", "own_grid"):
        dice = re.search(rf"{grid} +mean Dice (\d\.\d+)", text)
        assert dice
        assert float(dice[1]) > 0.05  # of chance among 14 classes it is less


@pytest.mark.slow
def test_the_networks_fields_are_measured(run) -> None:
    text = text_of(run("03_nd_scans_explained"))
    sizes = {name: int(size) for name, size in re.findall(r"^(\S+) +(\d+) of 224 pixels$", text, re.MULTILINE)}
    assert set(sizes) == {"mamband2d-s-16", "groupmamba-t", "mamba2d-n", "spatialmamba-t"}
    assert sizes["mamband2d-s-16"] < min(sizes["groupmamba-t"], sizes["spatialmamba-t"])


@pytest.mark.slow
def test_the_models_stand_in_a_table(run) -> None:
    rows = [line.split(" | ") for line in text_of(run("04_compare_models")).splitlines() if line.startswith("| `")]
    assert {row[0].strip("|` ") for row in rows} == {
        "spatialmamba-xs",
        "mamband2d-s-16",
        "mamba2d-n",
        "groupmamba-t",
        "spatialmamba-t",
        "mambavision-t",
    }
    assert all(float(row[5].split()[0]) > 0 for row in rows)


@pytest.mark.slow
def test_objects_pixels_and_motions_are_told(run) -> None:
    text = text_of(run("05_images_and_video"))
    counts = re.search(r"^(\d+) of (\d+) objects are where and what they should be$", text, re.MULTILINE)
    assert counts
    assert int(counts[1]) > int(counts[2]) / 2
    pixels = re.search(r"^(\d+) % of the pixels are right$", text, re.MULTILINE)
    assert pixels
    assert int(pixels[1]) > 60  # a picture that is all grass or all sky has fewer
    answers = re.findall(r"^(\w+) +answer: (\w+) \(\d+ %\)$", text, re.MULTILINE)
    assert len({truth for truth, _ in answers}) == 8
    assert sum(truth == answer for truth, answer in answers) >= 3  # of chance it is one


def test_what_is_heavy_is_made_light(tmp_path: Path) -> None:
    """A picture of noise and a page of a megabyte, through the script."""
    source = (
        "import numpy as np\nfrom IPython.display import display\nfrom PIL import Image\nimport io\n"
        "noise = np.random.default_rng(0).integers(0, 256, (900, 1500, 3), dtype=np.uint8)\n"
        "stream = io.BytesIO()\nImage.fromarray(noise).save(stream, 'png')\n"
        "display({'image/png': stream.getvalue(), 'text/html': 'x' * 10**6, 'text/plain': 'both'}, raw=True)"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    script = tmp_path / "execute.py"
    script.write_bytes((FOLDER / "execute.py").read_bytes())
    nbformat.write(notebook, tmp_path / "heavy.ipynb")
    subprocess.run([sys.executable, script, "heavy"], check=True, capture_output=True)
    lighter = nbformat.read(tmp_path / "heavy.ipynb", as_version=4)
    [output] = outputs(lighter)
    assert set(output.data) == {"image/jpeg", "text/plain"}
    [(_, picture)] = pictures(lighter)
    assert len(picture) <= 100_000
