"""Every row of the table of synthetic datasets is written in the layout that it says, and loads."""

from pathlib import Path

import pytest

from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.check import check_dataset
from medssm.data.synthetic import SYNTHETIC
from medssm.errors import UsageError


@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_set_is_sound_and_laid_out_as_its_row_says(name: str, tmp_path: Path) -> None:
    row, folder = SYNTHETIC[name], tmp_path / "data"
    row.writer()(folder, **dict.fromkeys(row.defaults, 2), seed=3)
    found = [other for other, layout in LAYOUTS.items() if layout.reader().find(folder, 0)]
    assert found[0] == row.layout
    loaded = LAYOUTS[row.layout].reader().load(folder, 0)
    assert min(len(loaded.training), len(loaded.validation)) > 0
    assert check_dataset(folder).faults == ()
    with pytest.raises(UsageError, match="nothing is overwritten"):
        row.writer()(folder, **dict.fromkeys(row.defaults, 2), seed=3)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_set_of_nothing_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    row = SYNTHETIC[name]
    with pytest.raises(UsageError, match="at least one"):
        row.writer()(tmp_path / "data", **dict.fromkeys(row.defaults, 0))
    assert not list(tmp_path.iterdir())
