"""Compaction of `dead_letter_actions`, which has no dates, origins or fences."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.compact import compact as run_compact
from flows.compaction_due import compaction_is_due
from schemas.replay import Action, ActionKind
from semloop.lake.lake import Lake
from semloop.settings import load
from semloop.storage.location import Storage
from sinks.dead_letter_actions import TABLE, append_actions
from tests.cli.helpers import Writer
from tests.sinks.compacting import (
    SteppedStorage,
    at_request,
    compact,
    file_count,
    requests,
)
from tests.sinks.sink_contract import clean_log
from tests.support.builders import NOW

pytestmark = pytest.mark.slow

RETRY_S = 60.0
FILES = 25
ROWS = f"SELECT * FROM tables.{TABLE}"
STATES = "SELECT id, state, attempts, note FROM dead_letters"


def act(storage: Storage, number: int) -> None:
    """Append an action, as one command does."""
    kind = (ActionKind.REPLAYED, ActionKind.PARKED, ActionKind.RESOLVED)[number % 3]
    one = Action(f"letter-{number}", f"t/0/{number}", kind, 1, note=f"note {number}")
    append_actions(storage, [one], NOW, RETRY_S)


def rows(storage: Storage, query: str = ROWS) -> Counter[tuple[object, ...]]:
    with Lake(storage.root, stale_s=0) as lake:
        return Counter(lake.sql(query).fetchall())


@dataclass(frozen=True)
class Frozen(Storage):
    """Does something after a data file was written, before the commit that adds it."""

    meanwhile: Callable[[], object] = field(default=lambda: None, compare=False)

    def put(self, name: str, data: Any) -> None:
        super().put(name, data)
        self.meanwhile()


def lake_at(folder: Path) -> Storage:
    """Return a lake with four actions, each in a file."""
    storage = Storage(str(folder))
    for number in range(4):
        act(storage, number)
    return storage


def numbers(storage: Storage) -> list[int]:
    """Return the numbers of the actions, in order."""
    files = (pq.read_table(uri) for uri in storage.open(TABLE).file_uris())
    notes = [note for rows in files for note in rows["note"].to_pylist()]
    return sorted(int(note.removeprefix("note ")) for note in notes)


def test_many_small_files_become_few_and_the_states_stay(tmp_path: Path) -> None:
    settings = load({}, lake=str(tmp_path / "lake"), kafka="127.0.0.1:1")
    storage = Storage.of(settings)
    Writer(settings).write(*range(FILES))
    letters = rows(
        storage, "SELECT id, topic_id, kafka_partition, kafka_offset FROM dead_letters"
    )
    for number, (letter, topic_id, partition, offset) in enumerate(sorted(letters)):
        origin = f"{topic_id}/{partition}/{offset}"
        kind = (ActionKind.REPLAYED, ActionKind.PARKED, ActionKind.RESOLVED)[number % 3]
        attempt = int(kind is ActionKind.REPLAYED)
        one = Action(str(letter), origin, kind, attempt, note=f"note {number}")
        append_actions(storage, [one], NOW, RETRY_S)
    before = rows(storage), rows(storage, STATES)
    assert len({state for _, state, *_ in before[1]}) == 3
    assert file_count(storage, TABLE) == FILES
    assert compaction_is_due(settings)
    report = run_compact(settings)
    assert report.replaced[TABLE] >= FILES
    assert (rows(storage), rows(storage, STATES)) == before
    assert file_count(storage, TABLE) == 1
    assert not compaction_is_due(settings)
    assert storage.open(TABLE).metadata().partition_columns == []


RIVALS: dict[str, Callable[[Storage], object]] = {
    "an action": lambda storage: act(storage, 4),
    "a compaction": lambda storage: compact(storage, TABLE),
    "a clean-up of the log": lambda storage: clean_log(storage, TABLE),
}


@pytest.mark.parametrize("rival", RIVALS.values(), ids=RIVALS)
def test_a_maintainer_frozen_at_any_request_loses_no_action(
    tmp_path: Path, rival: Callable[[Storage], object]
) -> None:
    merge = partial(compact, table=TABLE)
    count = requests(lake_at(tmp_path / "count"), merge)
    assert count >= 6
    for number in range(count):
        storage = lake_at(tmp_path / str(number))
        before = at_request(number, partial(rival, storage))
        merge(SteppedStorage(storage.root, before=before))
        added = [4] if rival is RIVALS["an action"] else []
        assert numbers(storage) == [0, 1, 2, 3, *added], number
        act(storage, 5)
        merge(storage)
        assert numbers(storage) == [0, 1, 2, 3, *added, 5], number


def test_an_action_frozen_at_its_commit_is_stored_next_to_a_compaction(
    tmp_path: Path,
) -> None:
    storage = lake_at(tmp_path)
    frozen = Frozen(storage.root, meanwhile=partial(compact, storage, TABLE))
    act(frozen, 4)
    assert numbers(storage) == [0, 1, 2, 3, 4]
    assert file_count(storage, TABLE) == 2
