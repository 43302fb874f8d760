"""Retries without pauses."""

from collections.abc import Iterator

import pytest
import stamina


@pytest.fixture
def fast_retries() -> Iterator[None]:
    """Repeat a failed commit at once, at most 30 times."""
    with stamina.set_testing(True, attempts=30):
        yield
