"""Retries without pauses."""

from collections.abc import Iterator

import pytest
import stamina

from tests.sinks.wrapped_log import ATTEMPTS


@pytest.fixture
def fast_retries() -> Iterator[None]:
    """Repeat a failed step without a pause."""
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield
