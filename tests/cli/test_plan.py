"""`medssm plan` and `medssm train auto` on a small dataset of scans."""

from pathlib import Path
from typing import Any

import pytest

from medssm.recipes import load_recipe, plan_recipe


def test_a_plan_is_a_whole_recipe_with_its_reasons(
    typed: Any, cube_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.yaml"
    assert typed("plan", cube_dataset, "--max-minutes", "10", "--out", path) == 0
    said = capsys.readouterr().out
    assert "train and" in said
    assert "data.preprocessing.spacing" in said
    text = path.read_text()
    assert "# there is no GPU" in text or "# there is a GPU" in text
    planned = plan_recipe(overrides={"data.folder": str(cube_dataset), "run.max_minutes": 10.0})
    assert load_recipe(path) == planned.recipe
    assert typed("plan", cube_dataset, "--out", path) == 2


def test_what_is_given_is_not_planned(cube_dataset: Path) -> None:
    given = {"data.folder": str(cube_dataset), "data.preprocessing.spacing": [2.0, 2.0, 2.0], "run.batch_size": 1}
    planned = plan_recipe("mamband-xs", given)
    assert planned.recipe.data.preprocessing.spacing == (2.0, 2.0, 2.0)
    assert planned.recipe.run.batch_size == 1
    assert not {"data.preprocessing.spacing", "run.batch_size"} & planned.plan.settings.keys()


def test_auto_trains_what_it_plans_and_goes_on_with_it(
    typed: Any, cube_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train = ("train", "auto", "--model", "mamband-xs", "--data", cube_dataset, "--max-steps", "1", "--out", run)
    assert typed(*train) == 0
    assert "data.preprocessing.channels:" in capsys.readouterr().out
    assert "# as was asked for" in (run / "recipe.yaml").read_text()
    assert (run / "best.safetensors").exists()
    assert typed("train", "auto", "--resume", "--out", run) == 0


def test_a_plan_needs_a_dataset(typed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("train", "auto") == 2
    assert "is planned from a dataset; give --data DIR" in capsys.readouterr().err
