"""What is learnt from a teacher and from the moving average, against stored values and formulas written out."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from medssm.benchmarks.golden import normal
from medssm.data.layouts.imagenet import load_image_dataset
from medssm.errors import CheckpointError, UsageError
from medssm.recipes import load_recipe
from medssm.tasks.classification.distillation import distillation_loss, fetch, load_teacher, self_distillation_loss
from medssm.tasks.classification.settings import DistillationSettings, SelfDistillationSettings
from medssm.tasks.classification.training import ClassificationTraining
from medssm.training import Moment

GOLDEN = json.loads((Path(__file__).parent / "golden" / "distillation.golden.json").read_text(encoding="utf-8"))
SMALL_TEACHER = "test_resnet"


@pytest.fixture(scope="module")
def inputs() -> tuple[torch.Tensor, ...]:
    """Logits, logits of the second head, the teacher's, and soft targets, as the golden file describes them."""
    logits, taught, teacher, targets = (torch.from_numpy(normal(seed, (4, 10))) for seed in (1, 2, 3, 4))
    return logits, taught, teacher, targets.softmax(1)


@pytest.mark.parametrize("name", GOLDEN["loss"])
def test_the_loss_beside_a_teacher_is_the_published_one(name: str, inputs: tuple[torch.Tensor, ...]) -> None:
    logits, taught, teacher, targets = inputs
    kind, alpha, tau = (part.rpartition("=")[2] for part in name.split())
    loss = F.cross_entropy(logits, targets)
    if kind != "none":
        settings = DistillationSettings(targets=kind, alpha=float(alpha), temperature=float(tau))  # type: ignore[arg-type]
        loss = (1 - settings.alpha) * loss + settings.alpha * distillation_loss(taught, teacher, settings)
    assert float(loss) == pytest.approx(GOLDEN["loss"][name], rel=1e-6)


def test_the_average_gives_targets_for_the_cross_entropy(inputs: tuple[torch.Tensor, ...]) -> None:
    logits, average, *_ = inputs
    settings = SelfDistillationSettings(loss="cross-entropy", weight=2.0, start_epoch=0)
    p, log_q = average.double().softmax(1), logits.double().log_softmax(1)
    expected = sum(-float(p[b, k] * log_q[b, k]) for b in range(4) for k in range(10)) / 4
    assert float(self_distillation_loss(logits, average, settings)) == pytest.approx(expected, rel=1e-6)


def test_the_divergence_is_that_from_the_average_at_a_temperature(inputs: tuple[torch.Tensor, ...]) -> None:
    logits, average, *_ = inputs
    settings = SelfDistillationSettings(loss="divergence", weight=2.0, temperature=3.0, start_epoch=0)
    p, q = (x.double().div(3).softmax(1) for x in (average, logits))
    expected = sum(float(p[b, k] * (p[b, k] / q[b, k]).log()) for b in range(4) for k in range(10)) / 4
    assert float(self_distillation_loss(logits, average, settings)) == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as DeiT's file has them, under "model", of a small network with ten classes."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.pth"
    torch.manual_seed(0)
    torch.save({"model": timm.create_model(SMALL_TEACHER).state_dict()}, path)
    return path


def distilled(task_recipe: dict[str, Any], teacher_file: Path, **changes: Any) -> dict[str, Any]:
    settings = {"targets": "hard", "alpha": 0.25, "teacher": SMALL_TEACHER, "weights": str(teacher_file)}
    return {**task_recipe, "distillation": settings, "self_distillation": None, "model.num_classes": 1000, **changes}


def test_the_second_head_alone_learns_from_the_teacher(
    tiny_models: None, small_images: dict[str, Any], shapes: Path, teacher_file: Path
) -> None:
    recipe = load_recipe("imagenet", "tiny-distilled", distilled(small_images, teacher_file))
    task = ClassificationTraining(recipe, load_image_dataset(shapes))
    task.prepare()
    assert task.teacher is not None
    model: Any = task.build_model()
    torch.manual_seed(0)
    images, targets = torch.randn(4, 3, 32, 32), torch.rand(4, 1000).softmax(1)
    losses = task.losses(model, (images, targets), Moment())
    with torch.no_grad():
        best = task.teacher(images).argmax(1)
    assert not task.teacher.training
    model.zero_grad()
    torch.autograd.backward(losses["loss"])
    taught = model.dist_head.weight.grad.clone()
    rows = taught.abs().sum(1)
    assert set(rows.argsort(descending=True)[: len(best.unique())].tolist()) == set(best.tolist())
    assert losses["loss"].item() == pytest.approx(
        0.75 * float(losses["cross_entropy"]) + 0.25 * float(losses["distillation"]), rel=1e-6
    )


def test_without_a_teacher_both_heads_are_trained_as_they_are_evaluated(
    tiny_models: None, small_images: dict[str, Any], shapes: Path
) -> None:
    overrides = {**small_images, "self_distillation": None, "model.dropout_rate": 0.0, "model.drop_path_rate": 0.0}
    task = ClassificationTraining(load_recipe("imagenet", "tiny-distilled", overrides), load_image_dataset(shapes))
    model: Any = task.build_model()
    images, labels = torch.randn(4, 3, 32, 32), torch.tensor([1, 2, 3, 4])
    loss = task.losses(model, (images, F.one_hot(labels, 10).float()), Moment())["loss"]
    first, second = model(images)
    assert loss.item() == pytest.approx(F.cross_entropy((first + second) / 2, labels).item(), rel=1e-6)


def test_a_network_without_a_second_head_is_refused(
    tiny_models: None, small_images: dict[str, Any], shapes: Path, teacher_file: Path
) -> None:
    task = ClassificationTraining(
        load_recipe("imagenet", "tiny", distilled(small_images, teacher_file)), load_image_dataset(shapes)
    )
    task.prepare()
    with pytest.raises(UsageError, match="tiny: has no second head to learn from a teacher"):
        task.losses(task.build_model(), (torch.randn(2, 3, 32, 32), torch.rand(2, 1000)), Moment())


def test_a_teacher_of_other_classes_is_refused(teacher_file: Path) -> None:
    settings = DistillationSettings(teacher=SMALL_TEACHER, weights=str(teacher_file))
    with pytest.raises(UsageError, match=r"knows 1000 classes, the dataset has 10; .* --set distillation=null"):
        load_teacher(settings, 10)


def test_weights_of_another_teacher_are_refused(tmp_path: Path) -> None:
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    settings = DistillationSettings(teacher=SMALL_TEACHER, weights=str(tmp_path / "other.safetensors"))
    with pytest.raises(CheckpointError, match=rf"holds no weights of {SMALL_TEACHER}"):
        load_teacher(settings, 1000)


def test_weights_that_cannot_be_fetched_are_explained(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone-0123\.pth: the teacher's weights could not be fetched from file:"):
        fetch((tmp_path / "gone-0123.pth").as_uri())


def test_fetched_weights_are_held_to_the_hash_in_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "t-2c26b46b.pth").write_bytes(b"foo")  # the SHA-256 of "foo" begins like this
    (tmp_path / "t-00000000.pth").write_bytes(b"foo")
    assert fetch((tmp_path / "t-2c26b46b.pth").as_uri()).read_bytes() == b"foo"
    with pytest.raises(CheckpointError, match="SHA-256 that begins with 00000000"):
        fetch((tmp_path / "t-00000000.pth").as_uri())
    assert [path.name for path in (tmp_path / "cache").rglob("*.pth")] == ["t-2c26b46b.pth"]
