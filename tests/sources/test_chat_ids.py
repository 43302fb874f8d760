"""The ids of a transcript's events depend only on its content, and are stable."""

import pytest

from tests.sources.chats import (
    a_chat,
    assistant_calls,
    chat_events,
    ids_of,
    message_of,
    result,
)


def test_the_same_chat_produces_the_same_bytes() -> None:
    line = a_chat(message_of("user"), assistant_calls("a"), result("a"), reward=0.5)
    assert chat_events(line) == chat_events(line)


def test_a_chat_that_grew_adds_only_new_events() -> None:
    start = (message_of("user", "hi"), assistant_calls("a"), result("a"))
    short = ids_of(a_chat(*start, reward=1))
    more = ids_of(
        a_chat(
            *start,
            message_of("user", "hi"),
            assistant_calls("a"),
            result("a"),
            reward=1,
        )
    )
    assert set(short) < set(more)
    assert len(more) == len(short) + 2


def test_changed_content_is_a_new_event() -> None:
    before = ids_of(a_chat(message_of("user", "a"), message_of("user", "b"), reward=0))
    after = ids_of(a_chat(message_of("user", "a"), message_of("user", "c"), reward=1))
    assert [x == y for x, y in zip(before, after, strict=True)] == [True, False, False]


@pytest.mark.parametrize(
    "fields", [{"id": "chat-2"}, {"agent": "other"}, {"namespace": "eu"}], ids=str
)
def test_equal_messages_of_different_chats_have_different_ids(
    fields: dict[str, object],
) -> None:
    same = ids_of(a_chat(message_of("user")))
    assert ids_of(a_chat(message_of("user"), **fields)) != same


def test_ratings_of_a_chat_that_grew_are_the_same() -> None:
    ratings = [{"name": "tone", "score": 1}, {"name": "tone", "score": 1}]
    short = ids_of(a_chat(message_of("user"), feedback=ratings))
    more = ids_of(a_chat(message_of("user"), message_of("assistant"), feedback=ratings))
    assert set(short) < set(more)
    assert len(more) == len(short) + 1 == 4
