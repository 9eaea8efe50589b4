"""The ucf101 recipe run on a few motions: what it leaves behind, exact resuming, and life with broken videos."""

import csv
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from typer.testing import CliRunner

from medssm.checkpoints import load_model
from medssm.cli.main import build_app
from medssm.data.synthetic.motions import write_motions
from medssm.data.synthetic.motions.drawing import MOTIONS
from medssm.errors import DataError, UsageError
from medssm.models import fresh_model
from medssm.models.info import ClipInput
from medssm.recipes import load_recipe, train
from medssm.tasks.answers import answers_to
from medssm.tasks.classifier import view_logits
from medssm.tasks.video.files import ClipViews
from medssm.tasks.video.pictures import sampled_frames
from medssm.tasks.video.samples import MOST_IN_A_ROW
from medssm.tasks.video.training import VideoTraining, mean_over_views
from medssm.training import Moment, Outcome

MODEL = "mamband-video-xs"


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def opened(settings: dict[str, Any], **changes: Any) -> VideoTraining:
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    return VideoTraining.open(load_recipe("ucf101", MODEL, {**settings, **changes}))


def test_broken_videos_are_counted_and_reported(recognised: Path) -> None:
    """One of 32 videos of the training is met once in an epoch of 4 steps, or more often as another's replacement."""
    steps = [row for row in rows(recognised) if row["loss"]]
    assert len(steps) == 8
    for epoch in range(2):
        replaced = [float(row["replaced"]) * 8 for row in steps if row["epoch"] == str(epoch)]
        assert 1 <= round(sum(replaced), 6) <= 4
    validations = [row for row in rows(recognised) if row["top1"]]
    assert [row["step"] for row in validations] == ["4", "8"]
    for row in validations:
        assert float(row["broken"]) == 1
        assert 0 <= float(row["top1"]) <= float(row["top5"]) <= 1
        assert 0 <= float(row["mean_class"]) <= 1
    log = (recognised / "train.log").read_text(encoding="utf-8")
    assert log.count("1 of 32 training videos cannot be read and were replaced by others; the first:") == 1
    assert log.count("1 of 16 validation videos cannot be read and are left out; the first:") == 1
    assert "v_left_g09_c01.avi" in log
    assert "the network starts from random weights" in log
    assert "clips/s" in log


def test_tensorboard_shows_frames_with_answers(recognised: Path) -> None:
    board = EventAccumulator(str(recognised / "tensorboard")).Reload()
    assert {"loss", "replaced", "top1", "mean_class", "clips_per_second"} <= set(board.Tags()["scalars"])
    assert board.Tags()["images"] == ["answers"]
    assert len(board.Images("answers")) == 2


@pytest.mark.parametrize("passes", [pytest.param(3, marks=pytest.mark.slow), 12])
def test_a_stopped_and_resumed_run_is_the_same_bit_for_bit(
    passes: int, recognised: Path, small_clips: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in a first and in a second pass of a step; a broken video stands in for another on either side."""
    losses, count = VideoTraining.losses, iter(range(1, 1000))

    def stopping(*arguments: Any) -> dict[str, Tensor]:
        if next(count) == passes:
            signal.raise_signal(signal.SIGINT)
        return losses(*arguments)

    def run(resume: bool) -> Outcome:
        return train("ucf101", MODEL, small_clips, tmp_path / "parts", resume)

    monkeypatch.setattr(VideoTraining, "losses", stopping)
    assert run(resume=False).step == (passes + 1) // 2
    outcome = run(resume=True)
    assert (outcome.step, outcome.signal) == (8, None)
    best = (tmp_path / "parts" / "best.safetensors").read_bytes()
    assert best == (recognised / "best.safetensors").read_bytes()
    assert rows(tmp_path / "parts") == rows(recognised)
    log = (tmp_path / "parts" / "train.log").read_text(encoding="utf-8")
    assert log.count("the network starts from random weights") == 1
    mine, theirs = (torch.load(run / "last.ckpt", weights_only=True) for run in (tmp_path / "parts", recognised))
    assert all(torch.equal(mine["model"][name], value) for name, value in theirs["model"].items())


def test_the_best_weights_say_what_recognising_needs(recognised: Path) -> None:
    _, metadata = load_model(recognised)
    assert metadata.num_classes == 10
    assert metadata.class_names == dict(enumerate(MOTIONS))
    assert tuple(metadata.input_size) == (4, 16, 16)
    given = metadata.preprocessing
    assert (given["sampling"], given["frame_stride"], given["short_side"]) == ("strided", 2, 20)
    assert (given["views"], given["crops"]) == (2, 3)  # those of the test, not of the validations while training


def test_a_folder_of_clips_is_classified_with_the_trained_weights(recognised: Path, motions: Path) -> None:
    arguments = ["classify", str(motions / "UCF-101" / "up"), "--run", str(recognised), "--top", "1"]
    result = CliRunner().invoke(build_app(), arguments)
    assert result.exit_code == 1
    output = " ".join(result.output.split())
    assert "5 classified, 0 skipped, 1 failed" in output
    assert "v_up_g02_c01.avi" in output.partition("failed:")[2]
    assert any(name in output for name in MOTIONS)


def test_a_broken_video_is_replaced_by_another_always_the_same(small_clips: dict[str, Any]) -> None:
    task = opened(small_clips)
    clips = task.clips
    place = next(i for i, sample in enumerate(clips.training) if sample.path.name == "v_left_g09_c01.avi")
    one, two = (clips.sample(place, np.random.default_rng(3)) for _ in range(2))
    assert [video.place for video in one.broken] == [place]
    assert "v_left_g09_c01.avi" in one.broken[0].reason
    assert torch.equal(one.views, two.views)
    assert one.views.shape == (2, 3, 4, 16, 16)
    assert not torch.equal(one.views[0], one.views[1])  # the same frames, augmented each on its own
    others = {clips.sample(place, np.random.default_rng(seed)).label for seed in range(8)}
    assert len(others) > 2
    assert clips.sample(0, np.random.default_rng(3)).broken == ()


def test_copies_of_a_clip_stand_beside_each_other_and_share_their_label(small_clips: dict[str, Any]) -> None:
    clips = opened(small_clips, mixing__probability=0.0, mixing__label_smoothing=0.1).clips
    samples = [clips.sample(index, np.random.default_rng(index)) for index in (0, 4, 8)]
    batch = clips.collate(samples, np.random.default_rng(0))
    assert batch.clips.shape == (6, 3, 4, 16, 16)
    assert torch.equal(batch.clips[3], samples[1].views[1])
    labels = [sample.label for sample in samples for _ in range(2)]
    assert batch.targets.argmax(1).tolist() == labels
    assert batch.targets[0, labels[0]] == pytest.approx(0.9 + 0.1 / 10)


def test_a_clip_is_mixed_with_one_box_in_all_frames(small_clips: dict[str, Any]) -> None:
    clips = opened(small_clips, mixing__mixup=0.0, mixing__cutmix=1.0).clips
    samples = [clips.sample(index, np.random.default_rng(index)) for index in (0, 8)]
    plain = torch.cat([sample.views for sample in samples])
    mixed = clips.collate(samples, np.random.default_rng(0)).clips
    is_other = (mixed != plain).any(1)  # (B, T, H, W)
    assert 0 < is_other.float().mean() < 1
    is_taken = (mixed == plain.flip(0)).all(1)
    assert bool((is_taken | ~is_other).all())
    assert torch.equal(is_other, is_other[:, :1].expand_as(is_other))


def test_too_many_broken_videos_end_the_run(small_clips: dict[str, Any], motions: Path, tmp_path: Path) -> None:
    shutil.copytree(motions, tmp_path / "data")
    for path in (tmp_path / "data/UCF-101/grow").glob("*_g0[89]_*"):
        path.write_bytes(b"broken")
    task = opened(small_clips, data__folder=str(tmp_path / "data"), data__max_broken_share=0.06)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 16 * 16, 10))

    def train_on_all() -> None:
        for index in range(32):
            batch = task.clips.collate([task.sample(index, np.random.default_rng(index))], np.random.default_rng(0))
            task.losses(model, batch, Moment())

    with pytest.raises(DataError, match=r"2 of 32 training videos cannot be read, more than data\.max_broken_share"):
        train_on_all()


def test_a_data_set_of_broken_videos_ends_the_run_at_once(small_clips: dict[str, Any], tmp_path: Path) -> None:
    write_motions(tmp_path / "data", "ucf101", training=2, validation=1)
    for path in (tmp_path / "data").rglob("*.avi"):
        path.write_bytes(b"broken")
    task = opened(small_clips, data__folder=str(tmp_path / "data"))
    with pytest.raises(DataError, match=rf"{MOST_IN_A_ROW} videos one after the other cannot be read, the last: .*avi"):
        task.sample(0, np.random.default_rng(0))
    results = [task.validate(nn.Identity(), task.clips.validation_item(i)) for i in range(task.validation_size)]
    with pytest.raises(DataError, match="8 of 8 validation videos cannot be read"):
        task.summarise(results)


def test_missing_videos_are_told(small_clips: dict[str, Any], motions: Path, tmp_path: Path) -> None:
    shutil.copytree(motions, tmp_path / "data")
    (tmp_path / "data/UCF-101/grow/v_grow_g08_c01.avi").unlink()
    task = opened(small_clips, data__folder=str(tmp_path / "data"))
    assert task.training_size == 31
    assert "1 of 32 training videos of UCF-101 are missing and left out" in task.news()
    assert task.news() == []


class Lazy(nn.Module):
    """Takes every clip for the third class, by a little."""

    def forward(self, clips: Tensor) -> Tensor:
        scores = torch.linspace(1, 0, 10).repeat(len(clips), 1)
        return scores.index_fill(1, torch.tensor([2]), 1.5)


def test_every_video_that_can_be_read_is_validated_once(small_clips: dict[str, Any]) -> None:
    """The network has two outputs more than there are classes; they are left out."""
    task = opened(small_clips)
    items = [task.source.validation_item(index) for index in range(task.validation_size)]
    labels = torch.cat([item.labels for item in items]).tolist()
    assert labels == sorted([label for label in range(8) for _ in range(2)])[:-1]
    scores = task.summarise([task.validate(Lazy(), item) for item in items])
    assert scores["top1"] == pytest.approx(2 / 15)
    assert scores["top5"] == pytest.approx(10 / 15)  # classes 0 to 4
    assert scores["mean_class"] == pytest.approx(1 / 8)
    exponentials = np.exp([1.5 if k == 2 else 1 - k / 9 for k in range(10)])
    assert scores["validation_loss"] == pytest.approx(-np.mean(np.log(exponentials / exponentials.sum())[labels]))
    assert scores["broken"] == 1


def test_scores_are_means_of_probabilities_over_views() -> None:
    class Mean(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return clips.mean((2, 3, 4)) * torch.tensor([1.0, 3.0, -2.0])

    clips = torch.randint(256, (2, 5, 3, 4, 6, 6), dtype=torch.uint8)
    views = ClipViews(ClipInput(mean=(0, 0, 0), std=(1, 1, 1), crops=2), (4, 6, 6))
    found = mean_over_views(view_logits(Mean(), clips, views))
    means = clips.numpy().mean((3, 4, 5)) / 255 * [1, 3, -2]
    probabilities = np.exp(means) / np.exp(means).sum(-1, keepdims=True)
    np.testing.assert_allclose(found.exp().numpy(), probabilities.mean(1), rtol=1e-5)


def image_network(path: Path) -> dict[str, Tensor]:
    """A file of an image network of four blocks that the small one for clips can be inflated from."""
    torch.manual_seed(7)
    clip = fresh_model(MODEL).state_dict()
    state = {
        "backbone.pos_embed": torch.randn(1, 16, 64),
        "backbone.patch_embed.projection.weight": torch.randn(64, 3, 8, 8),
        "backbone.patch_embed.projection.bias": torch.randn(64),
        "head.fc.weight": torch.randn(1000, 64),
    }
    blocks = [name for name in clip if name.startswith("backbone.layers.") and int(name.split(".")[2]) < 4]
    state |= {name: torch.randn_like(clip[name]) for name in blocks}
    torch.save({"state_dict": state}, path)
    return state


def test_a_run_says_what_it_starts_from_and_what_stays_random(small_clips: dict[str, Any], tmp_path: Path) -> None:
    state = image_network(tmp_path / "image.pth")
    changes = {"model__input_size": (16, 32, 32), "model__pretrained": str(tmp_path / "image.pth")}
    task = opened(small_clips, **changes)
    torch.manual_seed(0)
    model = task.build_model().state_dict()
    torch.manual_seed(0)
    random = opened(small_clips, model__input_size=(16, 32, 32)).build_model().state_dict()
    for name in ("backbone.layers.5.mixer.in_proj.weight", "cls_head.fc_cls.weight"):
        assert torch.equal(model[name], random[name])
    assert torch.equal(model["backbone.layers.3.mixer.A_log"], state["backbone.layers.3.mixer.A_log"])
    assert torch.equal(model["backbone.pos_embed"][0, 16:32], state["backbone.pos_embed"][0])
    patches = model["backbone.patch_embed.projection.weight"]
    torch.testing.assert_close(patches.sum(2), state["backbone.patch_embed.projection.weight"])
    [news] = task.news()
    assert news.startswith(f"the network starts from {tmp_path / 'image.pth'}; as random as without it are 24 of 71")
    assert news.endswith(": backbone.layers.4, backbone.layers.5, cls_head")


def test_more_classes_than_the_model_has_are_refused(small_clips: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"has 8 classes, but the model has 7; .* --set model\.num_classes=8"):
        opened(small_clips, model__num_classes=7)


def test_without_data_it_says_where_the_set_is_had(small_clips: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"crcv\.ucf\.edu.*--data synthetic"):
        opened(small_clips, data__folder=None)


def test_frames_are_shown_in_reading_order() -> None:
    clip = torch.arange(0, 200, 20, dtype=torch.uint8).view(1, 10, 1, 1).expand(3, -1, 8, 8)
    sheet = sampled_frames(clip)
    side = len(sheet)
    assert [int(sheet[row, column, 0]) for row in (0, side - 1) for column in (0, side - 1)] == [0, 60, 120, 180]
    scores = torch.tensor([[0.2, 0.8], [0.9, 0.1]]).log()
    answers = answers_to(lambda place: sheet + place, torch.tensor([0, 0]), scores)
    assert [int(answer.image[0, 0, 0]) for answer in answers] == [0, 1]
    assert [(answer.truth, answer.guess, answer.is_right) for answer in answers] == [(0, 1, False), (0, 0, True)]
    assert answers[0].probability == pytest.approx(0.8)
