from pathlib import Path

import numpy as np
import pytest

from medssm.data.clips.names import is_video_name
from medssm.data.clips.reading import read_frames
from medssm.data.layouts.actions import ACTION_LISTS, ActionSetName, find_action_set, load_action_set
from medssm.data.synthetic.motions import cached_motions, dataset, write_motions
from medssm.data.synthetic.motions.drawing import FRAMES, MOTIONS, SIDES, draw_motion
from medssm.errors import UsageError


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if is_video_name(path.name))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("layout", ACTION_LISTS)
def test_it_is_laid_out_as_the_real_one_and_shows_what_was_drawn(tmp_path: Path, layout: ActionSetName) -> None:
    write_motions(tmp_path / "motions", layout, training=3, validation=2)
    assert find_action_set(tmp_path / "motions") == layout
    loaded = load_action_set(tmp_path / "motions", layout)
    assert loaded.classes == tuple(MOTIONS)
    assert np.bincount(loaded.training.labels).tolist() == [3] * 8
    assert np.bincount(loaded.validation.labels).tolist() == [2] * 8
    first = next(sample for sample in loaded.validation if sample.label == 4)
    [frames] = read_frames(first.path, lambda count: [range(count)], np.array)
    drawn = draw_motion("left", np.random.default_rng((0, 1, 4, 0)))
    assert np.stack(frames).shape == drawn.shape
    assert np.abs(np.stack(frames).astype(int) - drawn).mean() < 4  # of 255: what encoding costs
    assert FRAMES[0] <= len(frames) <= FRAMES[1]
    assert 2 * SIDES[0] <= min(drawn.shape[1:3]) <= 2 * SIDES[1]


def test_a_clip_is_the_same_whatever_the_number_of_clips(tmp_path: Path) -> None:
    for name, counts in {"few": (1, 1), "more": (2, 2), "other": (1, 1)}.items():
        write_motions(tmp_path / name, "ucf101", *counts, seed=int(name == "other"))
    few, more, other = (contents(tmp_path / name) for name in ("few", "more", "other"))
    assert few.items() <= more.items()
    assert few.keys() == other.keys()
    assert not set(few.values()) & set(other.values())
    assert len(set(more.values())) == len(more) == 32


def test_many_clips_share_groups_within_a_part_alone(tmp_path: Path) -> None:
    paths = {part: {dataset._ucf101_path(dataset._Clip(part, "up", number)) for number in range(60)} for part in (0, 1)}
    assert [len(names) for names in paths.values()] == [60, 60]
    groups = [{name.partition("_g")[2][:2] for name in names} for names in paths.values()]
    assert groups == [{f"{group:02d}" for group in range(8, 26)}, {f"{group:02d}" for group in range(1, 8)}]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        write_motions(tmp_path, "ucf101", 1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("counts", [(0, 1), (1, 0)])
def test_a_dataset_without_clips_is_refused(tmp_path: Path, counts: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="at least one clip to train and one to validate"):
        write_motions(tmp_path / "motions", "ucf101", *counts)


def test_the_cached_one_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path))
    folder = cached_motions("hmdb51", 1, 1)
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.avi")}
    assert len(written) == 16
    assert cached_motions("hmdb51", 1, 1) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.avi")} == written
    monkeypatch.setattr(dataset, "VERSION", dataset.VERSION + 1)
    assert len({folder, cached_motions("hmdb51", 1, 1), cached_motions("ucf101", 1, 1)}) == 3
