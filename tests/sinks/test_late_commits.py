"""Commits whose process was suspended until their place in the log was cleaned up."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from schemas.replay import Action, ActionKind
from semloop.delta.log_entry import entry_name
from semloop.errors import StorageUnavailable
from semloop.storage.location import Storage
from sinks.dead_letter_actions import TABLE, append_actions
from sinks.delta.table_log import TableLog
from tests.sinks.compacting import rows_in_files, rows_in_lake
from tests.sinks.sink_contract import foreign_commit
from tests.sources.events_table import EventsTable
from tests.support.builders import NOW

pytestmark = pytest.mark.slow

OTHERS = 4


def entry_of(storage: Storage, version: int) -> Path:
    return Path(storage.root, entry_name("events", version))


def others_commit(storage: Storage, first: int, kept: int) -> None:
    """Make commits and a checkpoint, and remove all entries but the last ones."""
    for number in range(OTHERS):
        foreign_commit(storage.open("events"), f"other/{number}")
    storage.open("events").create_checkpoint()
    for version in range(first + OTHERS - kept):
        entry_of(storage, version).unlink()


def suspend_next(
    monkeypatch: pytest.MonkeyPatch,
    storage: Storage,
    kept: int,
    meanwhile: Callable[[Storage], object] = lambda storage: None,
) -> None:
    """Let the next commit take the place of an entry that was cleaned up before.

    `meanwhile`: called before others commit, with the commit's place still free.
    """
    commit = TableLog.commit

    def suspended(
        log: TableLog, files: Sequence[AddAction], numbers: Mapping[str, int]
    ) -> None:
        monkeypatch.setattr(TableLog, "commit", commit)
        place = entry_of(storage, log.version + 1)
        commit(log, files, numbers)
        entry = place.read_bytes()
        place.unlink()
        meanwhile(storage)
        others_commit(storage, log.version + 1, kept)
        place.write_bytes(entry)

    monkeypatch.setattr(TableLog, "commit", suspended)


# All of the others' entries but that of the checkpoint are gone, or only the first one.
@pytest.mark.parametrize("kept", [1, OTHERS - 1])
def test_a_commit_that_is_put_below_a_checkpoint_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    table = EventsTable(Storage(str(tmp_path)))
    table.commit((0, 0))
    suspend_next(monkeypatch, table.storage, kept)
    table.commit((0, 1))
    table.commit((0, 2))
    rows = [(0, 0), (0, 1), (0, 2)]
    assert rows_in_files(table.storage) == rows_in_lake(table.storage) == rows


def test_an_append_that_is_put_below_a_checkpoint_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path))
    actions = [Action(f"letter-{n}", "origin", ActionKind.PARKED, 1) for n in range(2)]
    append_actions(storage, actions[:1], NOW, 10.0)
    commit = DeltaTable.create_write_transaction

    def suspended(handle: DeltaTable, *args: Any) -> None:
        monkeypatch.setattr(DeltaTable, "create_write_transaction", commit)
        place = Path(storage.root, entry_name(TABLE, handle.version() + 1))
        commit(handle, *args)
        entry = place.read_bytes()
        place.unlink()
        for number in range(OTHERS):
            foreign_commit(storage.open(TABLE), f"other/{number}")
        storage.open(TABLE).create_checkpoint()
        for name in sorted(place.parent.glob("*.json"))[:-1]:
            name.unlink()
        place.write_bytes(entry)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", suspended)
    append_actions(storage, actions[1:], NOW, 10.0)
    rows = storage.open(TABLE).to_pyarrow_table(columns=["dead_letter_id"])
    assert sorted(rows["dead_letter_id"].to_pylist()) == ["letter-0", "letter-1"]


# A rival that takes over from the same version stores the same fences.
@pytest.mark.parametrize("meanwhile", [lambda storage: None, EventsTable])
@pytest.mark.parametrize("kept", [1, OTHERS - 1])
def test_a_take_over_that_is_put_below_a_checkpoint_may_be_repeated(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept: int,
    meanwhile: Callable[[Storage], object],
) -> None:
    storage = Storage(str(tmp_path))
    EventsTable(storage).commit((0, 0))
    suspend_next(monkeypatch, storage, kept, meanwhile)
    with pytest.raises(StorageUnavailable, match="during a commit"):
        EventsTable(storage)
    table = EventsTable(storage)
    table.commit((0, 1))
    assert rows_in_files(storage) == rows_in_lake(storage) == [(0, 0), (0, 1)]
