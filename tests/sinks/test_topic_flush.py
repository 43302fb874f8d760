"""Records that were sent are delivered if their source then raises an error."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from schemas.lines import Record
from sinks import topic


def test_an_error_of_the_source_is_raised_after_a_flush(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flushed: list[int] = []

    def flush(_: object, producer: Producer, __: object) -> int:
        flushed.append(len(producer))
        return 0

    def records() -> Iterator[Record]:
        yield Record(1, b"s", b"{}", idempotency_key="1")
        raise RecursionError

    monkeypatch.setattr(topic, "_flush", flush)
    with pytest.raises(RecursionError):
        topic.produce(records(), {"bootstrap.servers": "127.0.0.1:1"}, "t")
    assert flushed == [1]
