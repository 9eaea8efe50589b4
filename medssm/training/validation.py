"""One network, or two in one go, over all items of a validation."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric
from torch import nn

from medssm.errors import DataError
from medssm.training.loader import Loader
from medssm.training.settings import AveragingSettings
from medssm.training.task import Task

# What the scores of the moving average are called by, before the score's own name.
AVERAGE = "average/"


def validated(averaging: AveragingSettings | None) -> tuple[str, ...]:
    """What a recipe validates: "" for the network itself, AVERAGE for its moving average."""
    if averaging is None:
        return ("",)
    return ("", AVERAGE) if averaging.validate_both else (AVERAGE,)


def chosen(scores: Mapping[str, float], score: str, averaging: AveragingSettings | None) -> str:
    """Which of the validated ones is the one to keep."""
    if averaging is None:
        return ""
    if averaging.keep == "better" and scores[score] > scores[AVERAGE + score]:
        return ""
    return AVERAGE


def validation_results(
    fabric: Fabric,
    task: Task,
    loader: Loader,
    networks: Mapping[str, nn.Module],
    is_stopped: Callable[[], bool],
    describe: Callable[[str], None],
) -> dict[str, list[Any]]:
    """The results of all items in order for each network, each process taking its share; incomplete if stopped."""
    mine: dict[str, dict[int, Any]] = {name: {} for name in networks}
    for network in networks.values():
        network.eval()
    with torch.no_grad(), fabric.autocast():
        for index, item in _until_stopped(loader.validation_items(), is_stopped):
            describe(f"validating {index + 1}/{task.validation_size}")
            item = fabric.to_device(item)
            for name, network in networks.items():
                mine[name][index] = task.validate(network, item)
    describe("training")
    return {name: [result for _, result in sorted(_gathered(results).items())] for name, results in mine.items()}


def _until_stopped(items: Iterator[tuple[int, Any]], is_stopped: Callable[[], bool]) -> Iterator[tuple[int, Any]]:
    """The items up to a stop; a signal to all processes ends the loader's too, which is no error."""
    try:
        for item in items:
            if is_stopped():
                return
            yield item
    except DataError:
        if not is_stopped():
            raise


def _gathered(mine: dict[int, Any]) -> dict[int, Any]:
    if not torch.distributed.is_initialized():
        return mine
    shares: list[dict[int, Any]] = [{}] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shares, mine)
    return {index: result for share in shares for index, result in share.items()}
