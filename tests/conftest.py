"""Fixtures that several parts need."""

from pathlib import Path

import pytest

REAL_CT = Path(__file__).parents[2] / "shared" / "data" / "real_ct"


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """The folder of small real scans; the project holds no copy of them."""
    if not REAL_CT.is_dir():
        pytest.skip(f"no real scans at {REAL_CT}; put them there to run this test")
    return REAL_CT
