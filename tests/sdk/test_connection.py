"""What an agent logs about a broker."""

import logging
from types import SimpleNamespace

import pytest

from semloop.agent import connection
from semloop.agent.connection import Connection
from semloop.settings import load

SILENT, REFUSED = "it does not answer", "The broker rejects the user 'bob'."


def test_a_broker_that_refuses_after_it_was_silent_is_logged_once_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    search = SimpleNamespace(
        address="kafka:9092", finished=False, failure=SILENT, refused=False,
        producer=None,
    )  # fmt: skip
    monkeypatch.setattr(connection, "BrokerSearch", lambda *args: search)
    monkeypatch.setattr(connection, "RETRY_S", 0.0)
    tried = Connection(load({}, kafka="kafka:9092"))
    with caplog.at_level(logging.WARNING, "semloop"):
        for _ in range(3):
            assert tried.open() is None
        vars(search).update(finished=True, failure=REFUSED, refused=True)
        for _ in range(4):
            assert tried.open() is None
        vars(search).update(finished=False, failure=SILENT, refused=False)
        for _ in range(3):
            assert tried.open() is None
    first, second = (record.getMessage() for record in caplog.records)
    assert SILENT in first
    assert REFUSED.rstrip(".") in second
