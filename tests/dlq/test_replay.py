"""`semloop dlq replay`: dead letters become events, each once."""

import uuid
from pathlib import Path
from typing import NoReturn

import pytest

from schemas.replay import ATTEMPT_HEADER, LETTER_HEADER, ORIGIN_HEADER
from semloop.command.cli import dlq_replaying
from semloop.errors import StorageUnavailable
from sinks import archive_tables
from tests.dlq.letters import Letters, broken
from tests.support.builders import an_event

EVENTS = "SELECT count(*), count(DISTINCT event_id) FROM events"


def test_repaired_records_become_events_once_and_no_letter_stays_open(
    letters: Letters, tmp_path: Path
) -> None:
    repair = letters.transform(tmp_path)
    events = [an_event("message", id=str(uuid.uuid4())) for _ in range(200)]
    letters.produce(*map(broken, events))
    assert letters.states() == {"open": 200}
    out = letters.semloop("dlq", "replay", *repair, "--dry-run")
    assert out.startswith("To replay: 200 of 200 dead letters.")
    assert letters.states() == {"open": 200}

    out = letters.semloop("dlq", "replay", *repair)
    assert out.startswith("Replayed: 200 of 200 dead letters.")
    assert letters.states() == {"replayed": 200}
    letters.archive()
    assert letters.states() == {"resolved": 200}
    assert letters.semloop("dlq", "ls") == "No dead letters.\n"
    found = letters.rows("SELECT event_id FROM dead_letters ORDER BY 1")
    assert [row[0] for row in found] == sorted(event["id"] for event in events)
    assert letters.rows(EVENTS) == [(200, 200)]

    # The same again changes nothing, even if it is forced.
    assert letters.semloop("dlq", "replay", *repair) == "No dead letters match.\n"
    letters.semloop("dlq", "replay", *repair, "--state", "resolved")
    letters.archive()
    assert letters.rows(EVENTS) == [(200, 200)]
    assert letters.states() == {"resolved": 200}


def test_a_replay_without_an_id_gets_one_that_derives_from_the_letter(
    letters: Letters, tmp_path: Path
) -> None:
    event = an_event("message")
    del event["id"]
    letters.produce(event)
    repair = letters.transform(tmp_path, "def transform(record): return record")
    for state in ("open", "replayed"):
        letters.semloop("dlq", "replay", *repair, "--state", state)
    letters.archive()
    ((event_id,),) = letters.rows("SELECT event_id FROM events")
    assert letters.rows("SELECT state, event_id FROM dead_letters") == [
        ("resolved", event_id)
    ]


def test_a_replay_has_the_key_and_the_headers_of_the_original(
    letters: Letters, tmp_path: Path
) -> None:
    letters.produce(broken(an_event("message")), origin="billing")
    letters.semloop("dlq", "replay", *letters.transform(tmp_path))
    # A dead letter has the headers of its record.
    letters.archive(record_bytes_max=10)
    ((key, headers),) = letters.rows(
        "SELECT key, headers FROM dead_letters WHERE state = 'attempt'"
    )
    assert key == b"s-1"
    assert '["origin","billing"]' in headers


def test_records_that_would_fail_again_are_left_alone(stored: Letters) -> None:
    stored.produce(broken(an_event("message")), b"not json", b"\xff")
    out = stored.semloop("dlq", "replay")
    assert out.splitlines()[0] == "Replayed: 0 of 3 dead letters."
    assert "unknown_type 1" in out
    assert stored.states() == {"open": 3}


def test_a_transform_gets_bytes_of_what_does_not_parse_and_may_leave_out(
    letters: Letters, tmp_path: Path
) -> None:
    letters.produce(b"not json", b"{} trailing")
    text = (
        "def transform(record):\n"
        "    if record.startswith(b'not'):\n"
        "        return None\n"
        f"    return {an_event('message')!r}\n"
    )
    out = letters.semloop("dlq", "replay", *letters.transform(tmp_path, text))
    assert "Replayed: 1 of 2 dead letters." in out
    assert "Left out by transform: 1." in out
    letters.archive()
    assert letters.states() == {"open": 1, "resolved": 1}


def test_what_redaction_replaced_is_marked(letters: Letters, tmp_path: Path) -> None:
    text = {"role": "user", "content": "I am ann@example.com"}
    letters.produce(broken(an_event("message", payload=text)))
    out = letters.semloop("dlq", "replay", *letters.transform(tmp_path))
    assert "1 of them with pseudonyms in place of what was redacted" in out
    letters.archive()
    ((note, stored),) = letters.rows(
        "SELECT note, text FROM dead_letters JOIN events USING (event_id)"
    )
    assert note == dlq_replaying.REDACTED
    assert "<email:" in stored


def test_a_replay_that_ends_before_it_is_noted_may_be_run_again(
    letters: Letters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    repair = letters.transform(tmp_path)
    letters.produce(broken(an_event("message")))
    with monkeypatch.context() as patch:
        patch.setattr(dlq_replaying, "append_actions", fail)
        code, _, _ = letters.semloop.run("dlq", "replay", *repair)
    assert code == 130
    letters.semloop("dlq", "replay", *repair)
    letters.archive()
    assert letters.rows(EVENTS) == [(1, 1)]
    assert letters.states() == {"resolved": 1}


def test_archive_may_end_between_the_actions_and_the_events(
    letters: Letters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        msg = "The store failed."
        raise StorageUnavailable(msg, "Start again.")

    letters.produce(broken(an_event("message")))
    letters.semloop("dlq", "replay", *letters.transform(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(archive_tables, "commit_events", fail)
        with pytest.raises(StorageUnavailable):
            letters.archive()
    letters.archive()
    assert letters.rows(EVENTS) == [(1, 1)]
    assert letters.states() == {"resolved": 1}


def test_failed_replays_count_as_attempts_and_park_the_letter(
    letters: Letters, tmp_path: Path
) -> None:
    repair = letters.transform(tmp_path)
    letters.produce(broken(an_event("message")))
    for attempt, state in ((1, "open"), (2, "parked")):
        letters.semloop("dlq", "replay", *repair)
        # This `archive` refuses what the command expects to be accepted.
        letters.archive(record_bytes_max=10, dead_letter_attempts_max=2)
        (letter,) = letters.listed()
        assert letter["state"] == state
        assert letters.states() == {state: 1, "attempt": attempt}
    shown = letters.semloop("dlq", "show", letter["id"])
    assert "2 replays failed" in shown
    assert letters.semloop("dlq", "replay", *repair) == "No dead letters match.\n"
    letters.semloop("dlq", "replay", *repair, "--state", "parked")
    letters.archive()
    assert letters.states() == {"resolved": 1, "attempt": 2}


def test_a_mark_with_another_origin_settles_nothing(letters: Letters) -> None:
    letters.produce(broken(an_event("message")))
    (letter,) = letters.listed()
    mark = {LETTER_HEADER: letter["id"], ATTEMPT_HEADER: "1"}
    letters.produce(an_event("message"), **mark, **{ORIGIN_HEADER: "other/0/7"})
    letters.produce(b"not json", **mark, **{ORIGIN_HEADER: "other/0/7"})
    assert letters.rows(EVENTS) == [(1, 1)]
    assert letters.states() == {"open": 2}
