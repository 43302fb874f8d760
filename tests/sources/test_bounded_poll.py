"""Cut polls without a broker, to the byte."""

from hypothesis import given
from hypothesis import strategies as st

from sources.kafka.bounded_poll import BoundedPoll

BYTES_MAX = 100


class Message:
    def __init__(self, number: int, size: int | None) -> None:
        self.number = number
        self._size = size

    def value(self) -> bytes | None:
        return None if self._size is None else bytes(self._size)


class Messages:
    """A consumer whose queue has these messages, then none."""

    def __init__(self, sizes: list[int | None]) -> None:
        self.waiting = [Message(number, size) for number, size in enumerate(sizes)]
        self.calls = 0

    def consume(self, count: int, timeout_s: float) -> list[Message]:
        self.calls += 1
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken


@given(
    st.lists(st.none() | st.integers(0, 130), max_size=40),
    st.integers(1, 12),
)
def test_messages_stay_in_order_and_within_both_bounds(
    sizes: list[int | None], records_max: int
) -> None:
    consumer = Messages(sizes)
    poll = BoundedPoll(consumer, records_max, BYTES_MAX)  # type: ignore[arg-type]
    found = []
    while taken := poll.take(0):
        bytes_taken = sum(sizes[message.number] or 0 for message in taken)
        assert len(taken) == 1 or bytes_taken <= BYTES_MAX
        assert len(taken) <= records_max
        found += [message.number for message in taken]
    assert found == list(range(len(sizes)))


def test_kept_messages_are_returned_before_the_consumer_is_asked() -> None:
    consumer = Messages([60, 60, 60])
    poll = BoundedPoll(consumer, 10, BYTES_MAX)  # type: ignore[arg-type]
    emptied = []
    for _ in range(3):
        assert len(poll.take(0)) == 1
        emptied.append(poll.emptied_ms)
    assert consumer.calls == 1
    # All three came with one fetch, so nothing newer is known of the queue.
    assert len(set(emptied)) == 1
    assert not poll.holds_messages


def test_dropped_messages_are_fetched_again() -> None:
    consumer = Messages([60, 60])
    poll = BoundedPoll(consumer, 10, BYTES_MAX)  # type: ignore[arg-type]
    poll.take(0)
    assert poll.holds_messages
    poll.drop()
    assert poll.take(0) == []
    assert consumer.calls == 2
