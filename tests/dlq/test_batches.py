"""`semloop dlq replay` reads dead letters a bounded number of bytes at a time."""

import uuid
from pathlib import Path

import pyarrow as pa
import pytest

from operators.replay import Letter
from semloop.command.cli import dlq_letters
from semloop.command.cli.dlq_selection import selection
from semloop.lake.lake import Lake
from semloop.storage.location import Storage
from tests.dlq.letters import Letters, broken
from tests.support.builders import an_event


def batches(lake: Lake, letters_max: int = 1_000) -> list[list[Letter]]:
    selected = dlq_letters.places(lake, selection(states=["open"]))
    return [batch for _, batch in dlq_letters.letters(lake, selected, letters_max)]


def test_batches_are_within_their_bounds_and_have_every_letter_once(
    stored: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stored.writer is not None
    sizes = [900, 200, 1_500, 100, 100, 100, 100]
    records = [b"x" * size for size in sizes]
    stored.writer.write(*records)
    stored.writer.write(*records[:3], partition=1)
    monkeypatch.setattr(dlq_letters, "BYTES_MAX", 1_000)
    with Lake(stored.settings.lake) as lake:
        found = batches(lake, letters_max=3)
    assert [[len(letter.raw) for letter in batch] for batch in found] == [
        [900], [200], [1_500], [100, 100, 100], [100], [900], [200], [1_500],
    ]  # fmt: skip
    places = [(letter.partition, letter.offset) for batch in found for letter in batch]
    assert places == [(0, offset) for offset in range(7)] + [(1, 0), (1, 1), (1, 2)]


def test_letters_without_content_are_counted_and_left_alone(stored: Letters) -> None:
    stored.settings = stored.settings.replace(record_bytes_max=1_000)
    assert stored.writer is not None
    stored.writer.settings = stored.settings
    stored.produce(b"x" * 2_000, b"not json")
    out = stored.semloop("dlq", "replay", "--dry-run")
    assert "Without content, since they were too large: 1." in out
    assert "To replay: 0 of 2 dead letters." in out


def test_events_of_one_id_are_counted_before_archive_drops_them(
    stored: Letters, tmp_path: Path
) -> None:
    stored.produce(*(broken(an_event("message")) for _ in range(3)))
    text = (
        "def transform(record):\n"
        f"    return record | {{'type': 'message', 'id': '{uuid.uuid4()}'}}\n"
    )
    repair = stored.transform(tmp_path, text)
    out = stored.semloop("dlq", "replay", "--dry-run", *repair)
    assert "2 of them repeat another's id: each id is one event." in out


def test_a_filter_on_a_session_reads_only_the_content_of_its_files(
    stored: Letters,
) -> None:
    for session in "abc":
        stored.produce(broken(an_event("message", meta={"session_id": session})))
    with Lake(stored.settings.lake) as lake:
        query = "EXPLAIN ANALYZE SELECT raw FROM dead_letters WHERE session_id = 'b'"
        ((_, plan),) = lake.sql(query).fetchall()
    assert "Scanning Files: 1/3" in plan


def test_a_lake_of_an_earlier_version_has_open_letters(
    stored: Letters, tmp_path: Path
) -> None:
    stored.produce(broken(an_event("message")), b"not json")
    earlier = without_marks(Storage(stored.settings.lake), tmp_path / "earlier")
    with Lake(earlier) as lake:
        rows = "SELECT state, attempts, replay_of, event_id FROM dead_letters"
        assert lake.sql(rows).fetchall() == [("open", 0, None, None)] * 2
        ((first,), (second,)) = lake.sql("SELECT id FROM dead_letters").fetchall()
        assert [[letter.id for letter in batch] for batch in batches(lake)] == [
            [first, second]
        ]


def without_marks(storage: Storage, folder: Path) -> Path:
    """Write the dead letters as an earlier version did, to another lake."""
    from deltalake import write_deltalake

    with Lake(storage.root) as lake:
        rows = lake.sql("FROM tables.dead_letters").to_arrow_table()
    old = rows.drop_columns(["replay_of", "replay_origin", "attempt"])
    folder.mkdir()
    write_deltalake(str(folder / "dead_letters"), pa.table(old))
    return folder
