"""Files checked several at a time."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from medssm.data.layouts.findings import Remark

_BATCH = 512


def in_parallel(check: Callable[[Path], list[Remark]], paths: Iterable[Path]) -> Iterator[list[Remark]]:
    """What is found of each file, in order.

    In threads, which is enough: Pillow and FFmpeg decode without Python's lock. A batch at a time, or a million files
    would wait.
    """
    paths = iter(paths)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := tuple(islice(paths, _BATCH)):
            yield from pool.map(check, batch)
