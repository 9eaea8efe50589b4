"""Set up before medssm is imported: Triton's interpreter where there is no GPU, and scratch memory full of NaN.

And the real scans, for the tests that use them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

REAL_CT = Path(__file__).parents[2] / "shared" / "data" / "real_ct"

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True, scope="session")
def nan_in_unwritten_memory() -> Iterator[None]:
    """torch.empty gives NaN (the largest number for integers), so that reading what nobody wrote shows."""
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    enabled = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """The folder of small real scans; the project holds no copy of them."""
    if not REAL_CT.is_dir():
        pytest.skip(f"no real scans at {REAL_CT}; put them there to run this test")
    return REAL_CT
