"""Tasks: what networks are trained for and do. A task is a room, and the same files stand in each.

`TASKS` is the one table of them, by the name that recipes give: whatever differs from task to task is asked of its row.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medssm.tasks import classification, detection, segmentation, semantic, video
from medssm.tasks.room import Room

if TYPE_CHECKING:
    from medssm.checkpoints import WeightsMetadata

TASKS: Mapping[str, Room[Any, Any, Any]] = {
    room.TASK.name: room.TASK for room in (segmentation, classification, detection, semantic, video)
}


def task_of(metadata: "WeightsMetadata") -> Room[Any, Any, Any]:
    """What the network of weights does, or the head on it."""
    from medssm.models import head_info, model_info

    return TASKS[head_info(metadata.head).task if metadata.head else model_info(metadata.model).task]
