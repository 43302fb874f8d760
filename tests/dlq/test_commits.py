"""What `archive` says of dead letters, across crashes and rejected rows."""

import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.replay import Action, ActionKind, Mark, Replayed, origin_text
from semloop.lake.lake import Lake
from sinks.dead_letter_actions import append_actions
from tests.sinks.archive_builder import Archive, Crash
from tests.support.builders import LOG, NOW, decoded_rows, marked_letters

pytestmark = pytest.mark.slow


def started(folder: Path, attempt: int) -> tuple[Archive, Mark]:
    """Return a writer of a lake with a dead letter, replayed `attempt` times."""
    archive = Archive(folder).started()
    archive.loop.add(decoded_rows([], [(0, 0)], {0: 0}, last=True))
    with Lake(folder) as lake:
        ((letter,),) = lake.sql("SELECT id FROM dead_letters").fetchall()
    mark = Mark(letter, origin_text(LOG.topic_id, 0, 0), attempt)
    action = Action(*mark[:2], ActionKind.REPLAYED, attempt)
    append_actions(archive.storage, [action], NOW, retry_s=1)
    return archive, mark


def state(folder: Path, mark: Mark) -> tuple[str, str | None]:
    query = "SELECT state, event_id FROM dead_letters WHERE id = ?"
    with Lake(folder) as lake:
        ((found, event),) = lake.sql(query, [mark.letter]).fetchall()
    return found, event


def as_event(archive: Archive, mark: Mark) -> str:
    """Pass the record at offset 1 to the writer, judged as an event; return its id."""
    rows = decoded_rows([(0, 1)], [], {0: 1}, last=True)
    event_id = rows.events["event_id"][0].as_py()
    with suppress(Crash):
        archive.loop.add(replace(rows, replayed=[Replayed(mark, 0, 1, event_id)]))
    return str(event_id)


def as_letter(archive: Archive, mark: Mark) -> None:
    """Pass the record at offset 1 to the writer, judged as a dead letter."""
    rows = decoded_rows([], [(0, 1)], {0: 1}, last=True)
    marked = marked_letters(rows.dead_letters, mark)
    with suppress(Crash):
        archive.loop.add(replace(rows, dead_letters=marked))


def test_a_replay_that_is_judged_otherwise_after_a_crash_is_not_resolved(
    tmp_path: Path,
) -> None:
    archive, mark = started(tmp_path, attempt=1)
    archive.budget.left = 0
    as_event(archive, mark)
    as_letter(Archive(tmp_path).started(), mark)
    assert state(tmp_path, mark) == ("open", None)


@pytest.mark.parametrize("commits", [0, 1, 2, None])
def test_a_letter_is_parked_after_its_last_attempt_wherever_archive_ended(
    tmp_path: Path, commits: int | None
) -> None:
    archive, mark = started(tmp_path, attempt=3)
    archive.budget.left = commits
    as_letter(archive, mark)
    as_letter(Archive(tmp_path).started(), mark)
    assert state(tmp_path, mark) == ("parked", None)


@pytest.mark.parametrize("commits", [0, 1, 2, None])
@pytest.mark.parametrize(("attempt", "expected"), [(1, "open"), (3, "parked")])
def test_a_replay_that_the_table_rejects_has_failed(
    tmp_path: Path, commits: int | None, attempt: int, expected: str
) -> None:
    archive, mark = started(tmp_path, attempt)
    archive.events.refused = frozenset({(0, 1)})
    archive.budget.left = commits
    as_event(archive, mark)
    again = Archive(tmp_path).started()
    again.events.refused = frozenset({(0, 1)})
    as_event(again, mark)
    found, _ = state(tmp_path, mark)
    # A crash just after the dead letter of the rejected row may lose that it is parked.
    assert found == ("open" if commits == 1 else expected)


def test_a_replay_of_which_two_records_arrive_is_resolved_by_either(
    tmp_path: Path,
) -> None:
    archive, mark = started(tmp_path, attempt=1)
    as_letter(archive, mark)
    rows = decoded_rows([(0, 2)], [], {0: 2}, last=True)
    event_id = str(uuid.uuid4())
    archive.loop.add(replace(rows, replayed=[Replayed(mark, 0, 2, event_id)]))
    assert state(tmp_path, mark) == ("resolved", event_id)
