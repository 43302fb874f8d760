"""Implements `delta_log.DeltaLog` with deltalake."""

import math
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction

from semloop import layout
from semloop.delta.log_entry import entry_name, transactions
from semloop.errors import LakeError, StorageUnavailable
from semloop.storage import store_time
from semloop.storage.errors import storage_errors, translate
from semloop.storage.location import Storage
from sinks.delta.parquet_file import write_file


class TableLog:
    """The table `name` of a lake, open at its newest version."""

    def __init__(self, storage: Storage, name: str) -> None:
        """Open the table.

        Raises:
            StorageUnavailable: the table cannot be read.
        """
        self._storage = storage
        self._name = name
        self._handle: DeltaTable
        self._key_id = ""
        self.reopen()
        self._schema = self._handle.schema()
        stored = pa.schema(self._schema.to_arrow())
        self._types = {field.name: field.type for field in stored}
        self._partition_by = self._handle.metadata().partition_columns

    @property
    def name(self) -> str:
        """The table's folder in the lake."""
        return self._name

    @property
    def handle(self) -> DeltaTable:
        """The open version."""
        return self._handle

    @property
    def version(self) -> int:
        """Number of the open version."""
        return self._handle.version()

    def stored(self, app_id: str) -> int | None:
        """Return the number that the open version stores under an app id."""
        self._renew()
        with storage_errors(self._storage, f"read table {self._name}"):
            number: int | None = self._handle.transaction_version(app_id)
        return number

    def entries(self, since: int) -> Iterator[Mapping[str, int] | None]:
        """Read the numbers of each commit, one file per commit.

        Cheaper on an object store than `stored`, which fetches the whole log since the
        last checkpoint.
        """
        for version in range(since + 1, self.version + 1):
            entry = self._storage.read(entry_name(self._name, version))
            yield None if entry is None else dict(transactions(entry))

    def follow(self) -> None:
        """Move to the newest version."""
        self._renew()
        with storage_errors(self._storage, f"read table {self._name}"):
            self._handle.update_incremental()

    def reopen(self) -> None:
        """Open the newest version from scratch, unless a newer program upgraded it."""
        layout.check(self._storage)
        with storage_errors(self._storage, f"read table {self._name}"):
            self._key_id = self._storage.key_id
            self._handle = self._storage.open(self._name)

    def write(self, rows: pa.Table) -> AddAction:
        """Write rows to a new file."""
        # The code below does not compare types; the log accepts a file of any schema.
        # Columns that were added to an older table are in another order there.
        assert {f.name: f.type for f in rows.schema} == self._types, rows.schema
        rows.validate(full=True)
        return write_file(self._storage, self._name, rows, self.version + 1)

    def age_s(self, file: AddAction) -> float:
        """Return how much older a file is than the open version, seconds."""
        entry = entry_name(self._name, self.version)
        try:
            opened = store_time.written_at(self._storage, entry)
            written = store_time.written_at(self._storage, f"{self._name}/{file.path}")
        except FileNotFoundError:
            return math.inf
        return (opened - written).total_seconds()

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        """Append files and numbers in one commit."""
        self._renew()
        numbers = [Transaction(app_id, n) for app_id, n in transactions.items()]
        self._handle.create_write_transaction(
            list(files),
            "append",
            self._schema,
            self._partition_by,
            commit_properties=CommitProperties(app_transactions=numbers),
        )

    def _renew(self) -> None:
        """Open the same version again if the handle's credentials expire soon."""
        key_id = self._storage.key_id
        if key_id != self._key_id:
            with storage_errors(self._storage, f"read table {self._name}"):
                self._handle = self._storage.open(self._name, self.version)
            self._key_id = key_id

    def explain(self, error: Exception) -> LakeError | StorageUnavailable:
        """Translate an error of `write` or `commit` into a SemLoop error."""
        return translate(self._storage, f"commit to table {self._name}", error)
