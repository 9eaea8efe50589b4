"""Networks, layouts and formats of another package, which is laid on the path as an installed one lies there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from medssm import offers
from medssm.checkpoints import WeightsMetadata, load_model, save_weights
from medssm.cli.main import build_app
from medssm.data.layouts.check import check_dataset
from medssm.data.layouts.scans.dataset import load_dataset
from medssm.data.scans.volume import output_path, read_volume
from medssm.data.synthetic.phantom import write_phantom
from medssm.errors import UsageError
from medssm.models import fresh_model, list_models, model_info

Install = Callable[..., None]

NETWORK = """
from dataclasses import replace
from torch import nn
from medssm.models import model_info
from medssm.models.arguments import plain
from medssm.models.variant import Variant

class Plain(nn.Module):
    def __init__(self, options):
        super().__init__()
        width = options.arguments.get("width", 4)
        self.stem = nn.Conv3d(options.in_channels, width, 3, padding=1)
        self.head = nn.Conv3d(width, options.num_classes, 1)

    def forward(self, image):
        return self.head(self.stem(image).relu())

VARIANT = Variant(Plain, arguments={"width": plain})
INFO = replace(model_info("mamband-xs"), name="plain", stem_entry="stem.weight", head_entry="head.bias",
               variant=lambda: VARIANT)
LATE = replace(INFO, name="late", variant=lambda: 1 / 0)
"""
LAYOUT = """
from medssm.data.layouts import Layout, Reader

def reader():
    from medssm.data.layouts.scans.btcv import read_btcv
    from medssm.data.layouts.scans.check import check_scan_dataset

    return Reader(lambda folder, fold: (folder / "ours.txt").is_file(),
                  lambda folder, fold: read_btcv(folder / "inside", fold), check_scan_dataset)

ROW = Layout("Ours", "scans", "ours.txt", "put BTCV's folders into inside, beside ours.txt", reader)
"""
FORMAT = """
import numpy as np
from medssm.data.scans.formats import Codec, Format, Stored

class Header:
    label_names = {}

def read(path):
    return Stored(np.load(path), np.eye(4), Header())

ROW = Format("NumPy", (".npy",), (".npy",), frozenset(), lambda: Codec(read))
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that installs a package of one module with entry points, (group, name, object of the module)."""
    monkeypatch.syspath_prepend(tmp_path)
    forget()

    def lay(package: str, text: str, *points: tuple[str, str, str]) -> None:
        (tmp_path / f"{package}.py").write_text(text, encoding="utf-8")
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
        lines = (f"[{group}]\n{name} = {package}:{value}\n" for group, name, value in points)
        (folder / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")

    yield lay
    forget()


def forget() -> None:
    offers._entries.cache_clear()
    offers.every_offered.cache_clear()


def test_a_network_of_another_package_is_one_of_ours(install: Install, tmp_path: Path) -> None:
    install("networks_here", NETWORK, (offers.MODELS, "plain", "INFO"))
    assert list_models("segmentation")[-1] == "plain"
    network = fresh_model("plain", num_classes=3, arguments={"width": 5})
    metadata = WeightsMetadata(
        model="plain", arguments={"width": 5}, num_classes=3, in_channels=1, input_size=(8, 8, 8)
    )
    save_weights(tmp_path / "w.safetensors", network, metadata)
    loaded, _ = load_model(tmp_path / "w.safetensors")
    assert torch.equal(loaded.stem.weight, network.stem.weight)
    shown = CliRunner().invoke(build_app(), ["models"], env={"COLUMNS": "250"})
    assert "of another package" in shown.stdout
    with pytest.raises(UsageError, match="did you mean plain"):
        model_info("plai")


def test_nothing_of_a_package_is_imported_for_what_is_ours(install: Install) -> None:
    install("networks_there", "raise RuntimeError('imported')", (offers.MODELS, "plain", "INFO"))
    assert model_info("mamband-xs").is_ours
    assert fresh_model("mamband-xs")


@pytest.mark.parametrize(
    ("text", "value", "sentence"),
    [
        ("import no_such_module", "INFO", r"offers by broken:INFO, does not load \(ModuleNotFoundError: No module"),
        ("1 / 0", "INFO", r"does not load \(ZeroDivisionError: division by zero\); repair or uninstall that package"),
        ("", "INFO", r"does not load \(AttributeError: "),
        ("INFO = 5", "INFO", "is of the type int and no ModelInfo; tell its authors"),
        (NETWORK, "LATE", "an installed package offers 'late' by it; tell its authors"),
    ],
    ids=range(5),
)
def test_a_broken_package_is_one_sentence_and_no_crash(
    text: str, value: str, sentence: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "broken", raising=False)
    install("broken", text, (offers.MODELS, "plain", value))
    with pytest.raises(UsageError, match=sentence):
        model_info("plain")
    assert list_models()[0] == "mamband-xs"


def test_a_network_whose_code_fails_late_is_told(install: Install) -> None:
    install("networks_late", NETWORK, (offers.MODELS, "late", "LATE"))
    with pytest.raises(UsageError, match=r"'late', which the package networks_late offers .* \(ZeroDivisionError"):
        fresh_model("late")


def test_two_packages_of_one_name_are_told(install: Install) -> None:
    for package in ("networks_one", "networks_two"):
        install(package, NETWORK, (offers.MODELS, "plain", "INFO"))
    with pytest.raises(UsageError, match=r"'plain' is offered by networks_\w+ and networks_\w+; uninstall one"):
        model_info("plain")


def test_a_layout_of_another_package_trains_and_is_checked(install: Install, tmp_path: Path) -> None:
    install("layouts_here", LAYOUT, (offers.LAYOUTS, "ours", "ROW"))
    folder = tmp_path / "data"
    write_phantom(folder / "inside", cases=2)
    (folder / "ours.txt").touch()
    assert len(load_dataset(folder).training) == 1
    assert check_dataset(folder).counts == {"training": 1, "validation": 1, "test": 0}


def test_a_format_of_another_package_is_read(install: Install, tmp_path: Path) -> None:
    install("formats_here", FORMAT, (offers.FORMATS, "numpy", "ROW"))
    np.save(tmp_path / "scan.npy", np.zeros((3, 4, 5), np.int16))
    assert read_volume(tmp_path / "scan.npy").shape == (3, 4, 5)
    assert output_path(tmp_path / "scan.npy").name == "scan_seg.npy"
