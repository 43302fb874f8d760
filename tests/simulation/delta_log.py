"""The log of a Delta table on a simulated store, and its versions.

Log entries have the format of the protocol, so that our own code reads them.
"""

import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from deltalake.exceptions import DeltaError, TableNotFoundError

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
        found = map(CHECKPOINT.search, self.store.log_names(self.table))
        return sorted(int(match[1]) for match in found if match)

    def load(self, version: int | None = None) -> TableState:
        """Read a version; by default the newest one."""
        usable = [v for v in self.checkpoints() if version is None or v <= version]
        state = TableState()
        if usable:
            name = self.checkpoint_name(usable[-1])
            state = replace(self.store.objects[name].content, segment=(name,))
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
        version = state.version + 1
        return state.after(self.name(version), self.actions(version))

    def checkpoint_name(self, version: int) -> str:
        return f"{self.table}/_delta_log/{version:020}.checkpoint.parquet"


def create_table(
    store: SimulatedObjects,
    table: str,
    configuration: Mapping[str, str],
    partition_by: Sequence[str] = (),
) -> None:
    """Write version 0 of a table."""
    action = metadata_action(table, str(uuid.uuid4()), partition_by, configuration)
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


def actions_of(store: SimulatedObjects, name: str) -> list[dict[str, Any]]:
    """Return the actions of a log entry that exists, parsed once."""
    found = store.objects[name]
    if found.content is None:
        found.content = [json.loads(line) for line in found.data.splitlines()]
    actions: list[dict[str, Any]] = found.content
    return actions
