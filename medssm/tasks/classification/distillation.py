"""What a classifier learns from another network: a teacher (GroupMamba), or its own moving average (MESA)."""

from pathlib import Path

import timm
import torch.nn.functional as F
from torch import Tensor, nn

from medssm.checkpoints.hub import fetch_url
from medssm.checkpoints.published import read_weights_file
from medssm.errors import CheckpointError, UsageError
from medssm.tasks.classification.settings import DistillationSettings, SelfDistillationSettings


def distillation_loss(logits: Tensor, teacher: Tensor, settings: DistillationSettings) -> Tensor:
    """How far a head is from the teacher, a scalar.

    Args:
        logits, teacher: (B, K). The soft form divides by all B K elements, not by B, as the released code does.

    Source: GroupMamba's training, which takes it from DeiT (arXiv:2012.12877).
    """
    if settings.targets == "hard":
        return F.cross_entropy(logits, teacher.argmax(1))
    student, target = (F.log_softmax(x / settings.temperature, 1) for x in (logits, teacher))
    return settings.temperature**2 * F.kl_div(student, target, reduction="sum", log_target=True) / logits.numel()


def self_distillation_loss(logits: Tensor, average: Tensor, settings: SelfDistillationSettings) -> Tensor:
    """How far the logits (B, K) are from those of the moving average, a scalar without its weight.

    Source: Spatial-Mamba's training (cross-entropy) and MambaVision's (divergence); MESA is arXiv:2205.14083.
    """
    student, target = logits / settings.temperature, F.softmax(average / settings.temperature, 1)
    if settings.loss == "cross-entropy":
        return F.cross_entropy(student, target)
    return F.kl_div(F.log_softmax(student, 1), target, reduction="batchmean")


def load_teacher(settings: DistillationSettings, num_classes: int) -> nn.Module:
    """The teacher with its weights, frozen and in evaluation mode.

    Raises: CheckpointError if the weights cannot be had or are of another network; UsageError if the classes differ.
    """
    path = Path(settings.weights) if settings.weights else fetch(settings.url)
    state = read_weights_file(path).state
    try:
        teacher = timm.create_model(settings.teacher, pretrained=False)
        teacher.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: holds no weights of {settings.teacher} ({str(error).splitlines()[0]}); give those of the teacher "
            "with --set distillation.weights=FILE, or train without one: --set distillation=null"
        ) from error
    if teacher.num_classes != num_classes:
        raise UsageError(
            f"distillation: the teacher {settings.teacher} knows {teacher.num_classes} classes, the dataset has "
            f"{num_classes}; train without it: --set distillation=null"
        )
    return teacher.requires_grad_(False).eval()


def fetch(url: str) -> Path:
    """The file of a URL, downloaded into the cache on first use; the end of its name is checked against its hash.

    Raises: CheckpointError if it cannot be had.
    """
    name = url.rpartition("/")[2]
    try:
        return fetch_url(url, sha256=Path(name).stem.rpartition("-")[2])
    except (OSError, CheckpointError) as error:
        reason = getattr(error, "reason", None) or error
        raise CheckpointError(
            f"{name}: the teacher's weights could not be fetched from {url} ({reason}); download them elsewhere "
            "and give them with --set distillation.weights=FILE, or train without: --set distillation=null"
        ) from error
