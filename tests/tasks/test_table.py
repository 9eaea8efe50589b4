"""Every task has everything: the table is gone through, task by task and question by question."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from medssm.checkpoints import WeightsMetadata, create_model
from medssm.cli.main import COMMANDS
from medssm.data.scans.preprocessing import Preprocessing
from medssm.models import list_heads, list_models, model_info
from medssm.recipes import load_recipe
from medssm.tasks import TASKS, task_of
from medssm.tasks.settings import Recipe
from medssm.training import Task

ROOT = Path(__file__).parents[2]
FILES = ("settings", "samples", "training", "runner", "files", "scores", "pictures")
TESTS = ("training", "runner", "scores")
TASK_AND_FILE = [(task, file) for task in TASKS for file in FILES]
# A small network for each, and the first of the classes that published ones tell apart.
NETWORKS: dict[str, dict[str, Any]] = {
    "segmentation": {
        "model": "mamband-xs",
        "in_channels": 1,
        "input_size": (16, 16, 16),
        "preprocessing": Preprocessing(spacing=(3.0, 3.0, 3.0)).model_dump(mode="json"),
        "class_names": {1: "bright", 2: "brighter"},
    },
    "classification": {"model": "spatialmamba-xs", "input_size": (32, 32)},
    "detection": {"model": "spatialmamba-xs", "head": "mask-rcnn", "preprocessing": {"short_side": 64}},
    "semantic": {"model": "spatialmamba-xs", "head": "upernet", "preprocessing": {"short_side": 64}},
    "video": {"model": "mamband-video-xs", "input_size": (4, 16, 16)},
}
FIRST = {
    "segmentation": "background",
    "classification": "tench, Tinca tinca",
    "detection": "person",
    "semantic": "wall",
    "video": "ApplyEyeMakeup",
}


def test_the_rooms_are_the_tasks() -> None:
    rooms = {path.parent.name for path in (ROOT / "medssm" / "tasks").glob("*/__init__.py")}
    assert rooms == set(TASKS) == {room.name for room in TASKS.values()}


@pytest.mark.parametrize(("task", "file"), TASK_AND_FILE)
def test_every_room_has_the_same_files(task: str, file: str) -> None:
    assert (ROOT / "medssm" / "tasks" / task / f"{file}.py").is_file()


@pytest.mark.parametrize(("task", "subject"), [(task, subject) for task in TASKS for subject in TESTS])
def test_every_room_is_tested(task: str, subject: str) -> None:
    assert list((ROOT / "tests" / "tasks" / task).glob(f"test_{subject}*.py"))


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_settings_training_scores_files_and_a_command(task: str) -> None:
    room = TASKS[task]
    recipe = load_recipe(room.example)
    assert type(recipe) is room.settings
    assert issubclass(room.settings, Recipe)
    assert model_info(recipe.model.name).task == room.networks
    assert issubclass(room.training.__self__, Task)  # type: ignore[attr-defined]
    assert callable(room.measure)
    assert room.files.kind
    assert room.command.split()[0] == "medssm"
    assert room.command.split()[1] in COMMANDS


def test_every_network_and_head_of_the_registry_is_of_a_task() -> None:
    for name in list_models():
        assert TASKS[model_info(name).task].networks == model_info(name).task
    assert {task for task in TASKS if list_heads(task)} == {task for task in TASKS if TASKS[task].networks != task}


def inputs(folder: Path, cubes: Path, video: Callable[..., Path]) -> dict[str, Path]:
    """A file for each task."""
    image = folder / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(image)
    clip = video(folder / "a.mp4", 12, size=(64, 80))
    photographs = dict.fromkeys(("classification", "detection", "semantic"), image)
    return {**photographs, "video": clip, "segmentation": cubes / "imagesTr" / "img0001.nii.gz"}


RUN: dict[str, Callable[[Any, Path], Any]] = {
    "segmentation": lambda runner, path: runner.predict(path),
    "classification": lambda runner, path: runner.classify(path),
    "detection": lambda runner, path: runner.detect(path),
    "semantic": lambda runner, path: runner.segment(path),
    "video": lambda runner, path: runner.classify(path),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_network_of_every_task_runs_on_its_files_and_what_it_found_is_drawn(
    task: str, tmp_path: Path, cube_dataset: Path, write_video: Callable[..., Path]
) -> None:
    metadata = WeightsMetadata(**{"num_classes": 3, "in_channels": 3, "input_size": (), **NETWORKS[task]})
    assert task_of(metadata) is TASKS[task]
    torch.manual_seed(0)
    size = metadata.input_size or None
    network = create_model(
        metadata.model, num_classes=3, in_channels=metadata.in_channels, input_size=size, head=metadata.head
    )
    files = inputs(tmp_path, cube_dataset, write_video)
    kind = TASKS[task].files
    assert {other for other, path in files.items() if kind.takes(path)} >= {task}
    assert {TASKS[other].files.kind for other, path in files.items() if kind.takes(path)} == {kind.kind}
    found = RUN[task](TASKS[task].runner(network, metadata, "cpu", "32-true"), files[task])
    picture = TASKS[task].picture(found)
    assert picture.dtype == np.uint8
    assert picture.shape[2:] == (3,)


@pytest.mark.parametrize(("task", "first"), FIRST.items())
def test_published_networks_have_the_names_of_their_data_set(task: str, first: str) -> None:
    assert TASKS[task].published_names("mamband-video-ucf101")[0] == first


def test_asking_for_one_task_loads_nothing_of_another() -> None:
    code = (
        "import sys; from medssm.tasks import TASKS; TASKS['segmentation'].runner;"
        "print(sorted(name for name in sys.modules if name.startswith(tuple(f'medssm.tasks.{task}.' for task in TASKS "
        "if task != 'segmentation'))))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_table_itself_loads_no_task_and_no_torch() -> None:
    code = "import sys, medssm.tasks; print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
