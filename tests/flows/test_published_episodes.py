"""The topics of episodes and memories: a message per revision, ids per commit."""

from typing import Any

import pytest

from semloop.kafka import published_topics
from semloop.lake.lake import Lake
from semloop.settings import Settings
from sinks.publishing import episodes
from tests.flows.flow_runner import produce, run_archive
from tests.sinks.published import produced, publishing
from tests.support.builders import an_event
from tests.support.in_process import run_flow

pytestmark = pytest.mark.usefixtures("topic")
BOTH = ("episodes", "memories")
SECRET = "the customer wants a window seat"
CLOSED = (
    "SELECT episode_id, agent, events, outcome FROM episodes WHERE state = 'closed'"
)


def session(name: str, outcome: str = "success") -> list[dict[str, Any]]:
    meta = {"session_id": name, "task": SECRET}
    return [
        an_event(payload={"role": "user", "content": SECRET}, meta=meta),
        an_event("tool_call", meta=meta),
        an_event("completion", payload={"outcome": outcome}, meta=meta),
    ]


def run(settings: Settings, *sessions: str) -> None:
    for name in sessions:
        produce(settings, session(name), key=name)
    run_archive(settings)
    run_flow(settings, "memory")


def assert_all_is_produced(settings: Settings) -> None:
    found = [message for _, message in produced(settings, "episodes")]
    ids = {i for _, message in produced(settings, "memories") for i in message["ids"]}
    with Lake(settings=settings) as lake:
        closed = lake.sql(CLOSED).fetchall()
        stored = {
            key.hex() for (key,) in lake.sql("SELECT id FROM memories").fetchall()
        }
    assert closed
    assert {
        (m["episode_id"], m["agent"], m["events"], m["outcome"]) for m in found
    } == {*closed}
    assert ids == stored


def test_closed_episodes_and_new_memories_are_produced(settings: Settings) -> None:
    settings = publishing(settings.replace(embedder="hashing"), *BOTH)
    published_topics.ensure(settings)
    run(settings, "s-1", "s-2")
    run(settings, "s-3")
    assert_all_is_produced(settings)
    # A restart produces again what the last commit before it has produced.
    messages = dict(produced(settings, "episodes"))
    assert {m["session_id"] for m in messages.values()} == {"s-1", "s-2", "s-3"}
    assert all(key == m["episode_id"] for key, m in messages.items())
    for name in BOTH:
        assert SECRET not in str(produced(settings, name))


def test_what_a_crash_kept_from_the_topics_is_produced_at_the_next_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = publishing(settings.replace(embedder="hashing"), *BOTH)
    published_topics.ensure(settings)
    run(settings, "s-1")
    with monkeypatch.context() as patch:
        patch.setattr(episodes.EpisodePublisher, "beat", lambda self, *, last: None)
        run(settings, "s-2", "s-3")
    assert len(produced(settings, "episodes")) == 1
    run_flow(settings, "memory")
    assert_all_is_produced(settings)


def test_only_the_wanted_topics_are_produced_to(settings: Settings) -> None:
    settings = publishing(settings.replace(embedder="hashing"), "memories")
    published_topics.ensure(settings)
    run(settings, "s-1")
    with_both = settings.replace(publish=BOTH)
    assert published_topics.missing(with_both) == [f"{settings.publish.prefix}episodes"]
    assert len(produced(settings, "memories")) >= 1


def test_ids_of_many_memories_are_several_messages(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episodes, "IDS_MAX", 2)
    settings = publishing(settings.replace(embedder="hashing"), *BOTH)
    published_topics.ensure(settings)
    run(settings, "s-1", "s-2")
    assert_all_is_produced(settings)
    messages = [message for _, message in produced(settings, "memories")]
    assert all(len(m["ids"]) == m["memories"] <= 2 for m in messages)
