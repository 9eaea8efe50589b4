"""The README told true: its commands run in its order, its Python runs, and the options it speaks of exist.

Trainings are cut to a few steps on a coarse grid; everything else is typed as it stands there.
"""

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
import typer.main

from medssm.benchmarks.dense_zoo import measure_dense_zoo
from medssm.benchmarks.zoo import measure_zoo
from medssm.cli.errors import run
from medssm.cli.main import build_app
from medssm.data.scans.volume import read_volume
from medssm.data.synthetic.motions import write_motions
from medssm.data.synthetic.objects import write_objects
from medssm.data.synthetic.phantom import write_phantom
from medssm.data.synthetic.scenes import write_scenes
from medssm.data.synthetic.shapes import write_shapes
from medssm.models import list_models, model_info
from medssm.models.flops import model_cost
from medssm.models.registry import count_parameters

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
NOT_OURS = ("make", "pip")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of ours in the README, split into words."""
    lines = [shlex.split(line) for block in blocks("sh") for line in block.splitlines() if line]
    return [line for line in lines if line[0] not in NOT_OURS]


SYNTHETIC = shlex.split("--set data.synthetic_training=2 --set data.synthetic_validation=1")
ONE_STEP = shlex.split(
    "--max-steps 1 --precision 32-true --set run.batch_size=2 --set run.total_batch=null --set run.loader_processes=1"
)
SHORT = {
    "btcv": shlex.split(
        "--max-steps 1 --set data.phantom_cases=3 --set data.preprocessing.spacing=[6,6,6] "
        "--set augmentation.crops.size=[32,32,32] --set augmentation.crops.count=1"
    ),
    "imagenet": [*ONE_STEP, *SYNTHETIC, "--set", "model.input_size=[32,32]"],
    "coco": [
        *ONE_STEP,
        *SYNTHETIC,
        *shlex.split("--set augmentation.short_sides=[64] --set augmentation.long_side=96"),
        *shlex.split("--set validation.short_side=64 --set validation.long_side=96"),
    ],
    "ade20k": [*ONE_STEP, *SYNTHETIC, *shlex.split("--set augmentation.crop=[64,64] --set validation.short_side=64")],
    "ucf101": [*ONE_STEP, *SYNTHETIC],
}
SHORT_BENCH = shlex.split("--budget 0.01 --repeats 1 --no-memory --size 32")


def shortened(command: list[str]) -> list[str]:
    """A command with less to do."""
    if command[1] == "validate" and command[2] != "btcv":
        return [*command, *SYNTHETIC]
    if command[1] == "bench":
        return [*command, *SHORT_BENCH]
    if command[1] != "train":
        return command
    return [*command, *(["--max-steps", "2"] if "--resume" in command else SHORT[command[2]])]


def prepare_scans(folder: Path) -> None:
    """What a reader has before typing: BTCV, two scans, ImageNet, COCO, ADE20K, a photograph and a clip."""
    write_objects(folder / "COCO", training=2, validation=1)
    write_scenes(folder / "ADE20K", training=2, validation=1)
    write_motions(folder / "UCF-101", training=1, validation=1)
    (folder / "clip.avi").write_bytes(next((folder / "UCF-101").rglob("*.avi")).read_bytes())
    write_shapes(folder / "ImageNet", training=2, validation=1)
    (folder / "photo.jpg").write_bytes(next((folder / "ImageNet").glob("val/*/*")).read_bytes())
    write_phantom(folder / "BTCV", cases=3, seed=5)
    scans = [sitk.ReadImage(folder / "BTCV" / "imagesTr" / f"img000{number}.nii.gz") for number in (1, 2)]
    for scan, name in zip(scans, ("scan.nii.gz", "another.nrrd"), strict=True):
        sitk.WriteImage(scan, folder / name)


def type_command(command: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command, run as the installed script runs it."""
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        run(build_app())
    return int(ended.value.code or 0)


def test_every_command_and_the_python_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    prepare_scans(tmp_path)
    for command in commands():
        assert type_command(shortened(command), monkeypatch) == 0, (command, capsys.readouterr())
    written = {"img0001_seg.nii.gz", "img0002_seg.png", "scan_seg.nii.gz", "another_seg.nrrd", "another_seg.csv"}
    assert written <= {path.name for path in Path("segmentations").iterdir()}
    assert len(Path("scores.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 13
    assert "finished at step 2" in Path("runs/btcv/train.log").read_text(encoding="utf-8")
    assert "finished at step 2" in Path("runs/imagenet/train.log").read_text(encoding="utf-8")
    assert {"objects.json", "photo_objects.jpg"} <= {path.name for path in Path("found").iterdir()}
    assert {"shares.json", "photo.png", "photo_overlay.jpg"} <= {path.name for path in Path("label_maps").iterdir()}

    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert "spleen" in (printed := capsys.readouterr().out)
    assert "(1, 64, 56, 56)" in printed
    assert re.search(r"torch.Size\(\[\d+, 4\]\) \(\d+, \d+\)", printed)
    assert read_volume(Path("scan_seg.nii.gz")).label_names[1] == "spleen"


def options_of(command: Any) -> set[str]:
    """The options of a command, or of all commands of a group."""
    own = {option for parameter in command.params for option in parameter.opts}
    return own.union(*(options_of(part) for part in getattr(command, "commands", {}).values()))


def test_options_of_the_prose_exist() -> None:
    """Those of a section are options of the commands in its title, its blocks or its text."""
    group = typer.main.get_command(build_app())
    known = {name: options_of(command) for name, command in group.commands.items()}
    sections = re.split(r"^## ", README, flags=re.MULTILINE)[1:]
    spoken_of = 0
    for section in sections:
        title, _, text = section.partition("\n")
        typed = re.findall(r"^medssm (\w+)|`medssm (\w+)", text, re.MULTILINE)
        named = [name for name in known if name in title.lower() or any(name in words for words in typed)]
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
        spoken_of += len(options)
        missing = options - set().union(*(known[name] for name in named))
        assert not missing, f"{title}: {missing}"
    assert spoken_of > 10


def table_rows(after: str) -> list[list[str]]:
    """The cells of the first table of models after a text."""
    table = README.split(after, 1)[1].split("\n\n| ", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| `")]


def test_the_table_of_models_is_counted() -> None:
    rows = table_rows("## Models")
    assert [row[0].strip("`") for row in rows] == list_models("segmentation")
    for name, _, parameters, multiply_adds, _, published, _ in rows:
        info = model_info(name.strip("`"))
        assert parameters == f"{count_parameters(info.name) / 1e6:.2f} M"
        assert multiply_adds in {f"{model_cost(info.name).multiply_adds / 1e9:.{digits}f} G" for digits in (1, 2)}
        assert published == (str(info.result.value) if info.result else "none")


def test_the_table_of_networks_for_images_is_the_one_that_the_command_makes() -> None:
    """All but the speed; the error of the logits is held by the tests of each network."""
    written = table_rows("medssm bench zoo")
    counted = [list(row.cells()) for row in measure_zoo(speed=False)]
    error, speed = 5, 6
    assert [row[:error] + row[speed + 1 :] for row in written] == [row[:error] + row[speed + 1 :] for row in counted]
    assert all(row[speed] != "–" for row in written)
    assert {row[error] for row in written if row[error] != "–"} <= {
        f"{n}e-0{k}" for n in range(1, 10) for k in (5, 6, 7)
    }


def test_the_table_of_detectors_and_segmenters_is_the_one_that_the_command_makes() -> None:
    """Sizes, costs and published figures; the error of the outputs is held by the tests of each network."""
    written = table_rows("Detectors and segmenters")
    counted = {tuple(row.cells()[:2]): list(row.cells()) for row in measure_dense_zoo(("spatialmamba-t", "mamba2d-n"))}
    error = 7
    for key, cells in counted.items():
        [row] = [row for row in written if tuple(row[:2]) == key]
        assert row[:error] + row[error + 1 :] == cells[:error] + cells[error + 1 :]
    published = {(f"`{info.name}`", entry.head) for info in map(model_info, list_models()) for entry in info.dense}
    assert len(written) == len(published)
