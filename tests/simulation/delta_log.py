"""The log of a Delta table on a simulated store, and its versions.

Log entries have the format of the protocol, so that our own code reads them.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from semloop.delta.log_entry import entry_name
from tests.simulation.store import SimulatedObjects

CHECKPOINT = re.compile(r"/(\d{20})\.checkpoint\.parquet$")
HOURS = {"hour": 1, "day": 24}


@dataclass(frozen=True)
class Metadata:
    """What the protocol's `metaData` says."""

    id: str
    partition_columns: Sequence[str]
    configuration: Mapping[str, str]

    def hours(self, key: str, default: float) -> float:
        """Return the hours of a property such as `interval 6 hours`."""
        if key not in self.configuration:
            return default
        _, number, unit = self.configuration[key].split()
        return int(number) * HOURS[unit.rstrip("s")]


@dataclass(frozen=True)
class TableState:
    """One version: its files, removed files and transactions.

    `segment`: names of the log's files from which the version was read.
    """

    version: int = -1
    metadata: Metadata = field(default_factory=lambda: Metadata("", (), {}))
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    transactions: Mapping[str, int] = field(default_factory=dict)
    segment: tuple[str, ...] = ()

    @cached_property
    def actions(self) -> pa.Table:
        """The files and statistics with the columns of deltalake's flat add actions."""
        return _table_of(self.files)

    def after(self, name: str, actions: Iterable[Mapping[str, Any]]) -> "TableState":
        """Return the next version."""
        files, removed = dict(self.files), dict(self.removed)
        transactions, metadata = dict(self.transactions), self.metadata
        for action in actions:
            if (add := action.get("add")) is not None:
                files[add["path"]] = add
                removed.pop(add["path"], None)
            elif (remove := action.get("remove")) is not None:
                files.pop(remove["path"], None)
                removed[remove["path"]] = remove.get("deletionTimestamp") or 0
            elif (transaction := action.get("txn")) is not None:
                transactions[transaction["appId"]] = transaction["version"]
            elif (found := action.get("metaData")) is not None:
                metadata = Metadata(
                    found["id"], found["partitionColumns"], found["configuration"]
                )
        segment = (*self.segment, name)
        return TableState(
            self.version + 1, metadata, files, removed, transactions, segment
        )


# Before version 0 of any table.
EMPTY = TableState()


class Log:
    """The log of one table in a store; `actions` parses each entry once."""

    def __init__(self, store: SimulatedObjects, table: str) -> None:
        self.store, self.table = store, table

    def name(self, version: int) -> str:
        return entry_name(self.table, version)

    def has(self, version: int) -> bool:
        return self.name(version) in self.store.objects

    def actions(self, version: int) -> list[dict[str, Any]]:
        """Return the actions of an entry, which must exist."""
        return actions_of(self.store, self.name(version))

    def checkpoints(self) -> list[int]:
        """Return the versions of all checkpoints."""
        names = self.store.log_names(self.table)
        return sorted(int(n[-39:-19]) for n in names if n.endswith(".parquet"))

    def load(self, version: int | None = None) -> TableState:
        """Read a version; by default the newest one."""
        usable = [v for v in self.checkpoints() if version is None or v <= version]
        state = EMPTY
        if usable:
            state = self.store.objects[self.checkpoint_name(usable[-1])].content
        while version is None or state.version < version:
            if not self.has(state.version + 1):
                break
            state = self.next(state)
        if state.version < 0:
            msg = "Generic delta kernel error: No files in log segment"
            raise TableNotFoundError(msg)
        if version not in (None, state.version):
            msg = f"Kernel error: Generic delta kernel error: LogSegment end version {state.version} not the same as the specified end version {version}"
            raise DeltaError(msg)
        return state

    def next(self, state: TableState) -> TableState:
        """Return the version after one, whose entry must exist."""
        name = self.name(state.version + 1)
        found = self.store.objects[name]
        # All handles read the same entries on top of one another: each once.
        if found.follows is None or found.follows[0] is not state:
            found.follows = state, state.after(name, actions_of(self.store, name))
        following: TableState = found.follows[1]
        return following

    def checkpoint_name(self, version: int) -> str:
        return f"{self.table}/_delta_log/{version:020}.checkpoint.parquet"


def create_table(
    store: SimulatedObjects,
    table: str,
    configuration: Mapping[str, str],
    partition_by: Sequence[str] = (),
) -> None:
    """Write version 0 of a table."""
    action = metadata_action(table, f"id of {table}", partition_by, configuration)
    data = json.dumps(action).encode()
    store.store(entry_name(table, 0), data, [action], only_new=True)


def metadata_action(
    table: str,
    table_id: str,
    partition_by: Sequence[str],
    configuration: Mapping[str, str],
) -> dict[str, Any]:
    """Return the action `metaData`."""
    return {
        "metaData": {
            "id": table_id,
            "partitionColumns": list(partition_by),
            "configuration": dict(configuration),
        }
    }


def add_action(action: AddAction) -> dict[str, Any]:
    """Return the action `add` of a file."""
    return {
        "path": action.path,
        "partitionValues": dict(action.partition_values),
        "size": action.size,
        "modificationTime": action.modification_time,
        "dataChange": action.data_change,
        "stats": action.stats,
    }


def actions_of(store: SimulatedObjects, name: str) -> list[dict[str, Any]]:
    """Return the actions of a log entry that exists, parsed once."""
    found = store.objects[name]
    if found.content is None:
        found.content = [json.loads(line) for line in found.data.splitlines()]
    actions: list[dict[str, Any]] = found.content
    return actions


def _table_of(files: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Return files and statistics with the columns of deltalake's flat add actions."""
    stats = [json.loads(file["stats"]) for file in files.values()]
    columns: dict[str, Any] = {
        "path": pa.array(files, pa.string()),
        "size_bytes": pa.array([f["size"] for f in files.values()], pa.int64()),
        "num_records": pa.array([s["numRecords"] for s in stats], pa.int64()),
    }
    for end, bounds in (("min", "minValues"), ("max", "maxValues")):
        for name in dict.fromkeys(name for s in stats for name in s[bounds]):
            values = [s[bounds].get(name) for s in stats]
            if name in {"ingested_at", "ts"}:
                values = [v and datetime.fromisoformat(v) for v in values]
            columns[f"{end}.{name}"] = pa.array(values)
    return pa.table(columns)
