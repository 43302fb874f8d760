"""Several copies of a flow: exactly one continues, and no record is lost or repeated."""

import signal
from contextlib import ExitStack

from semloop.kafka.topic import Topic
from semloop.settings import Settings
from tests.flows.flow_runner import each_once, produce, running_flow, stored_origins
from tests.support.services import wait_for


def test_archive_resumed_after_a_replacement_took_over_stops_without_duplicates(
    settings: Settings, topic: Topic
) -> None:
    # Commits are due at 20 rows and never by age: the last rows stay in the buffer.
    buffering = {
        "SEMLOOP_COMMIT_ROWS": "20",
        "SEMLOOP_POLL_RECORDS": "5",
        "SEMLOOP_COMMIT_INTERVAL_S": "3600",
        "SEMLOOP_FENCE_CHECK_S": "3600",
    }
    sent = produce(settings, 30, partition=0)
    with running_flow(settings, **buffering) as frozen:
        frozen.wait_until_stored(20)
        frozen.signal(signal.SIGSTOP)
        with running_flow(settings) as newer:
            uncommitted = 30 - frozen.committed_rows()
            assert 0 < uncommitted <= 10
            newer.wait_until_stored(uncommitted)
            sent |= produce(settings, 30, partition=0)
            newer.wait_until_stored(uncommitted + 30)
            # When it resumes, its uncommitted rows are already stored.
            frozen.signal(signal.SIGCONT)
            sent |= produce(settings, 30, partition=0)
            code, messages = frozen.wait_for_exit()
            newer.wait_until_stored(uncommitted + 60)
            assert newer.is_alive()
    assert (code, len(messages)) == (3, 2), messages
    assert "took over" in messages[0]
    assert stored_origins(settings) == each_once({topic.topic_id: sent})


def test_exactly_one_of_three_racing_replacements_continues(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 100)
    frequent_checks = {"SEMLOOP_FENCE_CHECK_S": "0.2"}
    with ExitStack() as stack:
        older = stack.enter_context(running_flow(settings, **frequent_checks))
        older.wait_until_stored(100)
        rivals = [
            stack.enter_context(running_flow(settings, **frequent_checks))
            for _ in range(3)
        ]
        sent |= produce(settings, 100)
        wait_for("a single survivor", lambda: sum(f.is_alive() for f in rivals) == 1)
        winner = next(flow for flow in rivals if flow.is_alive())
        for flow in (older, *rivals):
            if flow is not winner:
                code, messages = flow.wait_for_exit()
                assert (code, len(messages)) == (3, 2), messages
        sent |= produce(settings, 100)
        wait_for("the last records", lambda: stored_origins(settings).total() >= 300)
        assert winner.is_alive()
    assert stored_origins(settings) == each_once({topic.topic_id: sent})
