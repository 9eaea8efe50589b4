"""Videos that cannot be read: how many, and when there are too many."""

import torch.distributed

from medssm.errors import DataError
from medssm.tasks.scored_files import BrokenFile


class BrokenVideos:
    """The broken ones among a number of videos, each counted once.

    Args:
        part: what they are called, such as "training".
        share: of them may be broken.
    """

    def __init__(self, part: str, total: int, share: float) -> None:
        self.part, self.total, self.share = part, total, share
        self.reasons: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.reasons)

    def add(self, videos: tuple[BrokenFile, ...]) -> None:
        """Counts some more.

        Raises: DataError if they are too many.
        """
        self.reasons.update(videos)
        if len(self) > self.share * self.total:
            raise DataError(
                f"{len(self)} of {self.total} {self.part} videos cannot be read, more than data.max_broken_share, "
                f"{self.share:g}, allows; the first: {next(iter(self.reasons.values()))}"
            )

    def gather(self) -> None:
        """Takes in what the other processes of a run have found; all must call it."""
        if torch.distributed.is_initialized():
            found: list[dict[int, str]] = [{}] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(found, self.reasons)
            self.reasons = dict(sorted(item for share in found for item in share.items()))

    def sentence(self, consequence: str) -> str:
        """How many there are, what became of them, and the first one's reason."""
        first = self.reasons[min(self.reasons)]
        return f"{len(self)} of {self.total} {self.part} videos cannot be read and {consequence}; the first: {first}"
