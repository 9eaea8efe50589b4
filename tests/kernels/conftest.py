"""Of what takes Triton's interpreter seconds, a quick run has a few cases that cover the values of each parameter."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow what runs on Triton and has an id that does not end with one of `few_on_triton`."""
    for item in items:
        marker = item.get_closest_marker("few_on_triton")
        if marker and "[triton" in item.name and not item.name.removesuffix("]").endswith(marker.args):
            item.add_marker(pytest.mark.slow)
