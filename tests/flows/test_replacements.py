"""Copies of a flow that meet: frozen and woken, started together, never told why."""

import signal
from contextlib import ExitStack

from semloop.kafka.topic import Topic
from semloop.settings import Settings
from tests.flows.flow_runner import a_flow, once, produce, stored
from tests.services import wait_for


def test_a_frozen_flow_that_wakes_after_its_replacement_stops_and_doubles_nothing(
    settings: Settings, topic: Topic
) -> None:
    # Commits for 20 rows and never for their age: the last ones stay in the buffer.
    buffering = {
        "SEMLOOP_COMMIT_ROWS": "20",
        "SEMLOOP_POLL_RECORDS": "5",
        "SEMLOOP_COMMIT_INTERVAL_S": "3600",
        "SEMLOOP_FENCE_CHECK_S": "3600",
    }
    sent = produce(settings, 30, partition=0)
    with a_flow(settings, **buffering) as frozen:
        frozen.wait_until_stored(20)
        frozen.signal(signal.SIGSTOP)
        with a_flow(settings) as newer:
            held = 30 - frozen.rows()
            assert 0 < held <= 10
            newer.wait_until_stored(held)
            sent |= produce(settings, 30, partition=0)
            newer.wait_until_stored(held + 30)
            # Woken, it has rows to commit that are there already.
            frozen.signal(signal.SIGCONT)
            sent |= produce(settings, 30, partition=0)
            code, said = frozen.ends()
            newer.wait_until_stored(held + 60)
            assert newer.alive()
    assert (code, len(said)) == (3, 2), said
    assert "took over" in said[0]
    assert stored(settings) == once({topic.topic_id: sent})


def test_of_three_replacements_that_race_exactly_one_goes_on(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 100)
    soon = {"SEMLOOP_FENCE_CHECK_S": "0.2"}
    with ExitStack() as stack:
        older = stack.enter_context(a_flow(settings, **soon))
        older.wait_until_stored(100)
        rivals = [stack.enter_context(a_flow(settings, **soon)) for _ in range(3)]
        sent |= produce(settings, 100)
        wait_for("one to be left", lambda: sum(f.alive() for f in rivals) == 1)
        winner = next(flow for flow in rivals if flow.alive())
        for flow in (older, *rivals):
            if flow is not winner:
                code, said = flow.ends()
                assert (code, len(said)) == (3, 2), said
        sent |= produce(settings, 100)
        wait_for("the last records", lambda: stored(settings).total() >= 300)
        assert winner.alive()
    assert stored(settings) == once({topic.topic_id: sent})
