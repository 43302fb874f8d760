"""How a supervisor waits for a broker that it did not start."""

import pytest

from semloop.command.stack.broker import RETRY_S, make_topic
from semloop.errors import BrokerUnavailable
from semloop.settings import load
from tests.support.services import free_port


def test_a_supervisor_pauses_between_two_attempts_to_reach_the_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("semloop.command.stack.broker.time.sleep", pauses.append)
    settings = load({}, kafka=f"127.0.0.1:{free_port()}")
    with pytest.raises(BrokerUnavailable):
        make_topic(settings, 60.0, stopping=lambda: len(pauses) == 3)
    assert pauses == [RETRY_S] * 3
