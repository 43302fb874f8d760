"""Flows commit between any two steps of a copy: only the order of the page is safe."""

from itertools import count
from pathlib import Path

import pytest

from semloop.kafka.topic import Topic
from semloop.settings import Settings
from tests.backup.loaded_lake import assert_continues, check
from tests.backup.scripts import (
    EPISODES,
    EVENTS,
    LETTERS,
    MEMORIES,
    OTHERS,
    Step,
    emulated,
    is_rest,
)
from tests.backup.test_copies import opened
from tests.flows.flow_runner import each_once, produce, run_archive
from tests.flows.memory_audit import SESSION_EVENTS, run_memory_flow, session_event

LOGS = (EPISODES, EVENTS, LETTERS, *OTHERS)


class Growing:
    """A lake that gets a closed episode and a dead letter with each call."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.replace(embedder="hashing")
        self.origins: set[tuple[int, int]] = set()
        self._numbers = count()
        self.grow()

    def grow(self) -> None:
        number = next(self._numbers)
        first = number * SESSION_EVENTS
        session = [
            session_event(first + n, f"s {number}") for n in range(SESSION_EVENTS)
        ]
        self.origins |= produce(self.settings, [*session, b"bad"])
        run_archive(self.settings)
        run_memory_flow(self.settings)


def test_in_the_order_of_the_page_flows_may_commit_between_any_two_steps(
    settings: Settings, topic: Topic, tmp_path: Path
) -> None:
    lake, place = Growing(settings), str(tmp_path / "copy")
    emulated(settings.lake, place, between=lake.grow)
    moved = opened(lake.settings, place)
    code, output = check(moved)
    assert (code, "warn 0, FAIL 0" in output) == (0, True), output
    assert_continues(moved, each_once({topic.topic_id: lake.origins}))


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ((is_rest, *LOGS, *MEMORIES), "FAIL  tables: events, version"),
        (
            (EVENTS, LETTERS, *OTHERS, EPISODES, *MEMORIES, is_rest),
            "FAIL  order: episodes is ahead of events by 84 offsets",
        ),
        (
            (EPISODES, LETTERS, EVENTS, *OTHERS, *MEMORIES, is_rest),
            "FAIL  order: dead_letters is older than events, by 21 offsets",
        ),
        (
            (*MEMORIES, *LOGS, is_rest),
            "but 2 closed episodes and 34 events without one",
        ),
        (
            (*LOGS, *MEMORIES[::-1], is_rest),
            "FAIL  memories: generation 1 is incomplete",
        ),
    ],
    ids=[
        "files first",
        "events first",
        "dead letters first",
        "memories first",
        "data first",
    ],
)
@pytest.mark.storm
@pytest.mark.usefixtures("topic")
def test_what_another_order_breaks_is_named(
    settings: Settings, tmp_path: Path, steps: tuple[Step, ...], found: str
) -> None:
    lake, place = Growing(settings), str(tmp_path / "copy")
    emulated(settings.lake, place, steps, lake.grow)
    _, output = check(opened(lake.settings, place))
    assert found in output
