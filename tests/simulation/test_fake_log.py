"""The simulated table behaves as deltalake does: verdict, error, snapshot and files.

A simulation on a log that is kinder than the real one would prove nothing. Of a log of
which only a part has expired, deltalake may keep more; the simulated one removes all
that a checkpoint has.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction, RemoveAction
from hypothesis import given
from hypothesis import strategies as st

from semloop.delta.snapshot import Snapshot
from sinks.delta.commit_error import FAILURES, CommitFailure, commit_failure
from tests.simulation.delta_log import create_table
from tests.simulation.delta_table import SimulatedTable, schema_of
from tests.simulation.store import Requests, SimulatedObjects
from tests.support.examples import examples

pytestmark = pytest.mark.slow

TABLE = "t"
NO_LOG = {"delta.logRetentionDuration": "interval 0 days"}
KEPT = {"delta.logRetentionDuration": "interval 30 days"}
STATS = {"numRecords": 1, "minValues": {}, "maxValues": {}, "nullCount": {}}
# (operation, number of the handle, three further choices)
OPERATIONS = (
    "open",
    "open version",
    "append",
    "append",
    "append",
    "replace",
    "delete",
    "properties",
    "checkpoint",
    "cleanup",
    "follow",
    "stored",
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(OPERATIONS), st.integers(0, 9), st.integers(0, 9), st.booleans()
    ),
    max_size=40,
)


class WallClock(Requests):
    """Both clocks are that of this machine, as for files in a folder."""

    def machine_s(self) -> float:
        return time.time()

    store_s = machine_s


class Lake:
    """A table with several open handles."""

    handles: list[DeltaTable]

    def open(self, version: int | None = None) -> DeltaTable:
        raise NotImplementedError

    def put(self, version: int, lines: bytes) -> None:
        raise NotImplementedError

    def log(self) -> list[str]:
        raise NotImplementedError


class Real(Lake):
    def __init__(self, folder: Path, properties: dict[str, str]) -> None:
        self._folder = folder
        DeltaTable.create(
            str(folder),
            schema_of(TABLE),
            configuration=dict[str, str | None](properties),
        )
        self.handles = [self.open()]

    def open(self, version: int | None = None) -> DeltaTable:
        return DeltaTable(self._folder, version)

    def put(self, version: int, lines: bytes) -> None:
        with (self._folder / f"_delta_log/{version:020}.json").open("xb") as file:
            file.write(lines)

    def log(self) -> list[str]:
        return sorted(path.name for path in (self._folder / "_delta_log").iterdir())


class Simulated(Lake):
    def __init__(self, properties: dict[str, str]) -> None:
        self._store = SimulatedObjects(WallClock())
        create_table(self._store, TABLE, properties)
        self.handles = [self.open()]

    def open(self, version: int | None = None) -> DeltaTable:
        return SimulatedTable(self._store, TABLE, version)

    def put(self, version: int, lines: bytes) -> None:
        name = f"{TABLE}/_delta_log/{version:020}.json"
        self._store.store(name, lines, only_new=True)

    def log(self) -> list[str]:
        names = self._store.log_names(TABLE)
        return sorted(name.rpartition("/")[2] for name in names)


@given(st.sampled_from([NO_LOG, KEPT]), STEPS)
@examples(25)
def test_operations_end_as_in_deltalake(
    properties: dict[str, str], steps: Sequence[tuple[str, int, int, bool]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lakes = [Real(Path(folder), properties), Simulated(properties)]
        for number, step in enumerate(steps):
            real, simulated = (_outcome(lake, number, step) for lake in lakes)
            if properties is NO_LOG and CommitFailure.STORAGE in {
                *_ends(real, simulated)
            }:
                # A stale handle needs entries that were removed. Which ones it has read
                # before is up to deltalake; the flows treat all as failures of storage.
                return
            assert simulated == real, (number, step)
        real, simulated = (_outcome(lake, 99, ("open", 0, 0, False)) for lake in lakes)
        assert simulated == real


def _outcome(
    lake: Lake, number: int, step: tuple[str, int, int, bool]
) -> tuple[object, ...]:
    """Apply a step; return its verdict, and what the handle and the log show then."""
    try:
        verdict = _apply(lake, number, *step)
    except FAILURES as error:
        text = str(error).partition("\n")[0].partition("File not found")[0]
        verdict = commit_failure(error), type(error).__name__, text
    shown = [_shown(handle) for handle in lake.handles]
    return verdict, shown, lake.log()


def _ends(*outcomes: tuple[object, ...]) -> Iterator[object]:
    """Yield how failed steps ended."""
    for verdict, *_ in outcomes:
        if isinstance(verdict, tuple):
            yield verdict[0]


def _shown(handle: DeltaTable) -> object:
    snapshot = Snapshot.of(TABLE, handle)
    return snapshot.version, snapshot.files, handle.metadata().configuration


def _apply(
    lake: Lake, number: int, operation: str, which: int, choice: int, flag: bool
) -> object:
    handle = lake.handles[which % len(lake.handles)]
    app = "ab"[choice % 2]
    newest = len(lake.log()) and max(
        int(name[:20]) for name in lake.log() if name[:20].isdigit()
    )
    match operation:
        case "open":
            lake.handles.append(lake.open())
        case "open version":
            lake.handles.append(lake.open(choice))
        case "append":
            files: list[AddAction | RemoveAction] = (
                [] if choice == 0 else [_file(f"f{number if flag else choice}")]
            )
            numbers = [Transaction(app, number)] if choice % 3 else []
            handle.create_write_transaction(
                files,
                "append",
                schema_of(TABLE),
                [],
                commit_properties=CommitProperties(app_transactions=numbers),
            )
        case "replace" | "delete":
            paths = sorted(Snapshot.of(TABLE, lake.open()).files)[: choice % 4]
            actions = [_remove(path, changes=flag) for path in paths]
            if operation == "replace":
                actions.append({"add": _add(f"merged-{number}", changes=flag)})
            actions.append({"commitInfo": {}})
            lake.put(newest + 1, "\n".join(map(json.dumps, actions)).encode())
        case "properties":
            hours = {"delta.deletedFileRetentionDuration": f"interval {choice} hours"}
            handle.alter.set_table_properties(dict[str, str](hours))
        case "checkpoint":
            handle.create_checkpoint()
        case "cleanup":
            handle.cleanup_metadata()
        case "follow":
            handle.update_incremental()
        case "stored":
            return handle.transaction_version(app)
    return None


def _file(path: str) -> AddAction:
    return AddAction(path, 10, {}, 1_000, True, json.dumps(STATS))


def _add(path: str, *, changes: bool) -> dict[str, Any]:
    return {
        "path": path,
        "partitionValues": {},
        "size": 10,
        "modificationTime": 1_000,
        "dataChange": changes,
        "stats": json.dumps(STATS),
    }


def _remove(path: str, *, changes: bool) -> dict[str, Any]:
    return {
        "remove": {
            "path": path,
            "deletionTimestamp": int(time.time() * 1_000),
            "dataChange": changes,
            "extendedFileMetadata": True,
            "partitionValues": {},
            "size": 10,
        }
    }
