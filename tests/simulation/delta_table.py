"""A Delta table on a simulated store, in place of deltalake's `DeltaTable`.

Log entries and checkpoints have the format of the protocol, so that our own code reads
them. Verdicts, errors and texts are those of deltalake 1.6: `test_fake_log.py` compares
them, operation by operation.
"""

import io
import json
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError

from tests.simulation.delta_log import (
    CHECKPOINT,
    Log,
    Metadata,
    add_action,
    metadata_action,
)
from tests.simulation.store import SimulatedObjects

# How often deltalake tries again on a newer version.
RETRIES = 15
ENTRY = re.compile(r"/(\d{20})\.json$")
HOUR_S = 3_600.0
LOG_RETENTION, REMOVED_RETENTION = (
    "delta.logRetentionDuration",
    "delta.deletedFileRetentionDuration",
)
REMOVES = pa.schema(
    [("remove", pa.struct([("path", pa.string()), ("deletionTimestamp", pa.int64())]))]
)
DELETED = (
    "Failed to commit transaction: Commit failed: a concurrent transaction deleted"
    " data this operation read."
)


class SimulatedTable(DeltaTable):
    """A handle at one version."""

    def __init__(
        self, store: SimulatedObjects, table: str, version: int | None = None
    ) -> None:
        self._store, self._name = store, table
        self._log = Log(store, table)
        store.requests.before("open", table)
        self._state = self._log.load(version)

    @property
    def table_uri(self) -> str:
        return self._name

    def version(self) -> int:
        return self._state.version

    def metadata(self) -> Metadata:  # type: ignore[override]
        return self._state.metadata

    def schema(self) -> Schema:
        return schema_of(self._name)

    @property
    def files(self) -> Mapping[str, Mapping[str, Any]]:
        """The files of the version, by path."""
        return self._state.files

    def transaction_version(self, app_id: str) -> int | None:
        self._store.requests.before("read", self._name)
        self._require_segment()
        return self._state.transactions.get(app_id)

    def file_uris(self, *args: Any, **options: Any) -> list[str]:
        return [f"{self._name}/{path}" for path in self._state.files]

    def get_add_actions(self, flatten: bool = False) -> Any:
        return self._state.actions

    def update_incremental(self) -> None:
        self._store.requests.before("list", self._name)
        newest = self._log.load()
        if newest.version != self.version():
            self._state = newest

    def create_write_transaction(  # type: ignore[override]
        self,
        actions: Sequence[Any],
        mode: str,
        schema: Any,
        partition_by: Any = None,
        *,
        commit_properties: CommitProperties | None = None,
    ) -> None:
        properties = commit_properties or CommitProperties()
        numbers = {t.app_id: t.version for t in properties.app_transactions or ()}
        lines: list[dict[str, Any]] = [{"commitInfo": {"operation": "WRITE"}}]
        lines += [{"add": add_action(action)} for action in actions]
        lines += [{"txn": {"appId": a, "version": n}} for a, n in numbers.items()]
        self._commit(lines)

    @property
    def alter(self) -> "Alterer":  # type: ignore[override]
        return Alterer(self)

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Commit the metadata with other properties; moves to the new version."""
        found = self._state.metadata
        configuration = {**found.configuration, **properties}
        entry = metadata_action(
            self._name, found.id, found.partition_columns, configuration
        )
        info = {"commitInfo": {"operation": "SET TBLPROPERTIES"}}
        version = self._commit([info, entry])
        self._state = self._log.load(version)

    def create_checkpoint(self) -> None:
        self._store.requests.before("checkpoint", self._name)
        # The version is read again, perhaps from another checkpoint.
        version = self.version()
        state = self._log.load(version)
        kept_hours = state.metadata.hours(REMOVED_RETENTION, 7 * 24)
        oldest_s = self._store.requests.machine_s() - kept_hours * HOUR_S
        removed = {p: ms for p, ms in state.removed.items() if ms > oldest_s * 1_000}
        name = self._log.checkpoint_name(version)
        content = replace(state, removed=removed, segment=(name,))
        self._store.store(name, _parquet(removed), content)
        hint = f"{self._name}/_delta_log/_last_checkpoint"
        known = self._store.objects.get(hint)
        if known is None or json.loads(known.data)["version"] < version:
            self._store.store(hint, json.dumps({"version": version}).encode())
        self._state = self._log.load(version)

    def cleanup_metadata(self) -> None:
        """Remove what is older than the log's retention, below a checkpoint."""
        hours = self._state.metadata.hours(LOG_RETENTION, 30 * 24)
        before_s = self._store.requests.machine_s() - hours * HOUR_S
        checkpoints = [v for v in self._log.checkpoints() if v <= self.version()]
        for name in self._store.log_names(self._name) if checkpoints else ():
            match = ENTRY.search(name) or CHECKPOINT.search(name)
            covered = match and int(match[1]) < checkpoints[-1]
            if covered and self._store.objects[name].written_s <= before_s:
                self._store.clean_log(self._name, name)

    def _commit(self, lines: Sequence[Mapping[str, Any]]) -> int:
        """Put an entry at the next free version, unless one since conflicts with it."""
        data = "\n".join(map(json.dumps, lines)).encode()
        own = {line["txn"]["appId"] for line in lines if "txn" in line}
        checked = self.version()
        for _ in range(1 + RETRIES):
            self._store.requests.before("list", self._name)
            if not self._log.has(checked):
                msg = f"Invalid table version: {checked}"
                raise DeltaError(msg)
            read = self._log.load(checked).files
            while self._log.has(checked + 1):
                checked += 1
                _check(self._log.actions(checked), read, own)
            name = self._log.name(checked + 1)
            try:
                self._store.store(name, data, list(lines), only_new=True)
            except FileExistsError:
                continue
            except OSError as error:
                msg = f"Failed to commit transaction: Generic S3 error: {error}"
                raise DeltaError(msg) from error
            at_version = SimulatedTable.__new__(SimulatedTable)
            at_version.__dict__ = {**self.__dict__}
            at_version._state = replace(self._state, version=checked + 1)
            at_version.cleanup_metadata()
            return checked + 1
        _refuse(f"Failed to commit transaction: {RETRIES}")

    def _require_segment(self) -> None:
        for name in self._state.segment:
            if name not in self._store.objects:
                msg = f"Kernel error: File not found: {name}"
                raise DeltaError(msg)


class Alterer:
    """In place of deltalake's `TableAlterer`."""

    def __init__(self, table: SimulatedTable) -> None:
        self._table = table

    def set_table_properties(self, properties: Mapping[str, str]) -> None:
        self._table.set_properties(properties)


@cache
def schema_of(table: str) -> Schema:
    """Return the schema of a table of the lake."""
    from schemas.arrow import arrow_schema
    from semloop import tables

    if table not in tables.TABLES:
        return Schema.from_arrow(pa.schema([("a", pa.int64())]))
    return Schema.from_arrow(arrow_schema(tables.TABLES[table].columns))


def _check(
    entry: Sequence[Mapping[str, Any]], read: Container[str], own: set[str]
) -> None:
    """Raise if an entry conflicts with a commit.

    Args:
        entry: its actions.
        read: the files of the version on which the commit is based.
        own: the commit's app ids.
    """
    if any("metaData" in action for action in entry):
        _refuse("Failed to commit transaction: Metadata changed since last commit.")
    removes = [action["remove"] for action in entry if "remove" in action]
    if any(each["dataChange"] and each["path"] in read for each in removes):
        _refuse(DELETED)
    if any(a.get("txn", {}).get("appId") in own for a in entry):
        _refuse("Failed to commit transaction: Concurrent transaction failed.")


def _refuse(text: str) -> NoReturn:
    raise CommitFailedError(text)


def _parquet(removed: Mapping[str, int]) -> bytes:
    """Return a checkpoint that has the removed files alone."""
    rows = [
        {"remove": {"path": path, "deletionTimestamp": ms}}
        for path, ms in removed.items()
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, REMOVES), buffer)
    return buffer.getvalue()
