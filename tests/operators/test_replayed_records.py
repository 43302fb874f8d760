"""Replayed dead letters in a poll with records of agents."""

from uuid import UUID

from operators.decoding.decode import decode
from schemas.replay import Mark, Replayed
from tests.operators.broken_records import BYTES_MAX
from tests.support.builders import NOW, a_poll, an_event


def test_replayed_records_are_found_between_those_of_agents() -> None:
    mark = Mark(str(UUID(int=1)), "topic/0/7", 2)
    values = (an_event(), an_event(id=str(UUID(int=2))), an_event())
    result = decode(a_poll(*values, marks=[None, mark, None]), NOW, BYTES_MAX)
    assert result.replayed == [Replayed(mark, 0, 1, str(UUID(int=2)))]
