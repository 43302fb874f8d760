"""Values that a broker may return but that tables cannot store."""

from typing import Any

import pytest

from semloop.kafka.topic import Topic
from sources.kafka.records import MS_MAX, records

TOPIC = Topic("cluster", "events", "topic-1", 1)


class FakeMessage:
    """A message like those of the client library, with one unusual field."""

    def __init__(self, ms: int = 1_700_000_000_000, headers: Any = None) -> None:
        self._ms = ms
        self._headers = headers

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7

    def timestamp(self) -> tuple[int, int]:
        return 1, self._ms

    def key(self) -> bytes:
        return b"s"

    def value(self) -> bytes:
        return b"{}"

    def headers(self) -> Any:
        if isinstance(self._headers, Exception):
            raise self._headers
        return self._headers


@pytest.mark.parametrize(
    "ms", [-1, 0, MS_MAX, 2**62, -(2**62)], ids=lambda ms: f"{ms} ms"
)
def test_a_timestamp_that_tables_cannot_store_is_null(ms: int) -> None:
    batch, positions = records([FakeMessage(ms), FakeMessage()], TOPIC)
    found = batch["kafka_ts"].to_pylist()
    assert found[0] is None
    assert found[1].year == 2023
    assert positions == {0: 7}


def test_the_latest_storable_timestamp_is_kept() -> None:
    batch, _ = records([FakeMessage(MS_MAX - 1)], TOPIC)
    assert batch["kafka_ts"].to_pylist()[0].year == 9998


def test_a_record_with_unreadable_header_names_is_read_without_them() -> None:
    broken = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    valid = [("trace", b"1"), ("none", None), ("odd", b"\xff")]
    batch, _ = records([FakeMessage(headers=broken), FakeMessage(headers=valid)], TOPIC)
    assert batch["headers"].to_pylist() == [
        None, '[["trace","1"],["none",null],["odd","\\\\xff"]]',
    ]  # fmt: skip
