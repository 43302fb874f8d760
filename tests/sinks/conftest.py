"""Retries without pauses, and each sink of the contract suite."""

from collections.abc import Iterator

import pytest
import stamina

from tests.sinks.sink_contract import SINKS, Sink
from tests.sinks.wrapped_log import ATTEMPTS


@pytest.fixture
def fast_retries() -> Iterator[None]:
    """Repeat a failed step without a pause."""
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield


@pytest.fixture(params=SINKS, ids=lambda sink: sink.name)
def sink(request: pytest.FixtureRequest) -> Sink:
    """Each sink that `SINKS` lists."""
    found: Sink = request.param
    return found
