"""`semloop dlq replay --rate` bounds the records per second."""

import pytest

from schemas.lines import Record
from semloop.command.cli import dlq_replaying
from semloop.settings import Settings, load


class Clock:
    """Replaces `time`: it passes only while someone sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.mark.parametrize(
    ("rate", "expected"), [(4, [0, 0.25, 0.5, 0.75, 1.0]), (None, [0] * 5)]
)
def test_records_are_sent_at_the_rate_across_batches(
    monkeypatch: pytest.MonkeyPatch, rate: float | None, expected: list[float]
) -> None:
    clock = Clock()
    monkeypatch.setattr(dlq_replaying, "time", clock)
    settings: Settings = load({}, lake="unused")
    send = dlq_replaying.Send(settings, rate)
    records = [Record(line, None, b"{}", "") for line in range(5)]
    times = []
    for batch in (records[:2], records[2:]):
        times += [clock.now_s - 100 for _ in send._paced(batch)]
    assert times == expected
