"""`make fuzz`: thousands of damaged files of every family, each opened in a process of its own.

Prints a table and keeps what fails in build/fuzz: the smallest mutant of each distinct fault, and what was said.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import get_args

from families import FAMILIES
from mutation import damaged, digest
from rich.console import Console
from rich.table import Table
from trial import Outcome, tried

KEPT = Path("build") / "fuzz"


def fuzzed(name: str, mutants: int, seed: int) -> Counter[str]:
    """How often each outcome came about in one family; what failed is kept."""
    family, random, counts, smallest = FAMILIES[name], Random(f"{name} {seed}"), Counter[str](), dict[str, int]()
    with tempfile.TemporaryDirectory() as work:
        files = family.write(Path(work))
        whole = {file: file.read_bytes() for file in files}
        for file in files:
            assert (whole_one := tried(family.read, file)).outcome == "ok", (file, whole_one)
        for number in range(mutants):
            file = files[number % len(files)]
            mutant = damaged(whole[file], file.name, random)
            file.write_bytes(mutant)
            outcome, said = tried(family.read, file)
            file.write_bytes(whole[file])
            counts[outcome] += 1
            fault = f"{outcome}: {said.replace(work, '')[:80]}"
            if outcome not in ("ok", "own") and len(mutant) < smallest.get(fault, sys.maxsize):
                smallest[fault] = len(mutant)
                _keep(name, file.name, mutant, f"{outcome}: {said}")
    return counts


def _keep(family: str, file: str, mutant: bytes, said: str) -> None:
    folder = KEPT / family
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{digest(mutant)}-{file}"
    path.write_bytes(mutant)
    path.with_name(f"{path.name}.said").write_text(said, encoding="utf-8", errors="backslashreplace")


def main() -> int:
    """The number of faults, at most 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=list(FAMILIES), help="all by default")
    parser.add_argument("--mutants", type=int, default=1500, help="of each family")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shutil.rmtree(KEPT, ignore_errors=True)
    outcomes = get_args(Outcome)
    table = Table("family", "mutants", *outcomes, title=f"Damaged files, seed {given.seed}")
    faults = 0
    with tempfile.TemporaryDirectory() as cache, ProcessPoolExecutor(os.cpu_count(), max_tasks_per_child=1) as pool:
        os.environ["MEDSSM_CACHE"] = cache
        runs = {name: pool.submit(fuzzed, name, given.mutants, given.seed) for name in given.families}
        for name, run in runs.items():
            counts = run.result()
            print(name, dict(counts), flush=True)
            faults += sum(counts[outcome] for outcome in outcomes if outcome not in ("ok", "own"))
            table.add_row(name, str(given.mutants), *(str(counts[outcome]) for outcome in outcomes))
    Console().print(table)
    if faults:
        print(f"{faults} faults; see {KEPT}")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
