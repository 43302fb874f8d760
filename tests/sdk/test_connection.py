"""What an agent logs about a broker."""

from types import SimpleNamespace

import pytest

from semloop.agent import connection
from semloop.agent.connection import Connection
from semloop.settings import load

SILENT, REFUSED = "it does not answer", "The broker rejects the user 'bob'."


def test_a_broker_that_refuses_after_it_was_silent_is_logged_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search = SimpleNamespace(
        address="kafka:9092", finished=False, failure=SILENT, refused=False,
        producer=None,
    )  # fmt: skip
    lines: list[str] = []
    monkeypatch.setattr(connection, "BrokerSearch", lambda *args: search)
    monkeypatch.setattr(connection, "RETRY_S", 0.0)
    monkeypatch.setattr(
        connection, "warn", lambda text, *args: lines.append(text % args)
    )
    tried = Connection(load({}, kafka="kafka:9092"))
    for _ in range(3):
        assert tried.open() is None
    vars(search).update(finished=True, failure=REFUSED, refused=True)
    for _ in range(4):
        assert tried.open() is None
    vars(search).update(finished=False, failure=SILENT, refused=False)
    for _ in range(3):
        assert tried.open() is None
    first, second = lines
    assert SILENT in first
    assert REFUSED.rstrip(".") in second
