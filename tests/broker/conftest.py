"""Brokers that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.services import EmbeddedBroker

Start = Callable[..., EmbeddedBroker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start brokers, one after the other, in the folder of the test."""
    started: list[EmbeddedBroker] = []

    def begin(address: str = "", mb_max: int = 1024) -> EmbeddedBroker:
        started.append(EmbeddedBroker(tmp_path, address, mb_max))
        return started[-1]

    yield begin
    for broker in started:
        broker.kill()
