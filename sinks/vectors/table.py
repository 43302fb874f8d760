"""The memories: rows with vectors, merged by id, so that merging again is harmless.

A LanceDB table has no offsets and no fences. Ids derive from a row's origin, and a row
is only replaced by one of the same or a later writer: rows may be merged again, and a
writer that was taken over cannot overwrite newer rows.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import memories as schema_of
from semloop.errors import LakeError, StorageUnavailable
from semloop.lake import generations
from semloop.retry import retry
from semloop.storage.errors import (
    LANCE_ERRORS,
    OTHER_COLUMNS,
    REINDEX,
    is_contention,
    storage_errors,
)
from semloop.storage.location import Storage
from sinks.lake_figures import TableSize, vector_size
from sinks.vectors.commit_check import CommitCheck
from sinks.vectors.newest_version import on_newest_version

if TYPE_CHECKING:
    from lancedb import DBConnection
    from lancedb.index import FTS
    from lancedb.table import Table

R = TypeVar("R")
NAME = "memories"
WORDS = "words"
MODEL = b"semloop.model"
# Makes Lance detect two writers that insert the same new id. Works only for ids of
# variable length: with `binary(16)`, LanceDB 0.40 stores both rows.
KEY = {"lance-schema:unenforced-primary-key:position": "1"}
# Assertion on rows to store: allowed deviation of a vector's length from 1. Looser than
# EMBEDDER_NORM_TOLERANCE, so that no accepted vector fails it.
STORED_NORM_TOLERANCE = 1e-2


class VectorTable:
    """The table of one generation, for a writer; not thread-safe.

    Unit of parallelism: a writer for its own partitions, alongside maintenance.
    Guarantee: each id is stored once, as its latest writer merged it, across crashes,
    second copies and lost replies.
    """

    def __init__(
        self,
        storage: Storage,
        generation: int,
        dimension: int,
        model: str,
        retry_s: float = 60.0,
        on_retry: Callable[[str, str], None] = lambda table, cause: None,
    ) -> None:
        """Open no table yet; `open` does.

        Args:
            storage: the lake.
            generation: generation of the table.
            dimension: length of the vectors.
            model: id of the model that computes the vectors.
            retry_s: how long to retry while storage is unavailable, seconds.
            on_retry: called with the table's name and the cause of a failed attempt.
        """
        self._storage = storage
        self._generation = generation
        self._schema = schema_of(dimension, model)
        self._retry_s = retry_s
        self._on_retry = on_retry
        self._table: Table
        self._check: CommitCheck

    def open(self) -> None:
        """Open the table, or create it; completes a creation that was interrupted.

        Raises:
            LakeError: its vectors are of another model, or it cannot be created.
            StorageUnavailable: storage did not recover within `retry_s`.
            MissingExtra: LanceDB is not installed.
        """
        self._retry(self._open)

    def exists(self) -> bool:
        """True if the table exists, whichever process created it.

        Raises:
            StorageUnavailable: storage did not recover within `retry_s`.
        """

        def once() -> bool:
            with self._lance(f"open table {NAME}"):
                connection = generations.connect(self._storage)
                return generations.open_table(connection, self._generation) is not None

        return self._retry(once)

    def episode_ids(self) -> set[str]:
        """Return the ids of the episodes that have memories.

        Raises:
            LakeError: the table was removed. StorageUnavailable: it cannot be read.
        """

        def once() -> set[str]:
            query = self._table.search().where("kind = 'episode'")
            found = query.select(["episode_id"]).to_arrow()
            return set(found["episode_id"].to_pylist())

        return self._read(once)

    def columns(self, *names: str) -> pa.Table:
        """Return columns of all rows of the newest version.

        Raises:
            LakeError: the table was removed. StorageUnavailable: it cannot be read.
        """
        return self._read(lambda: self._table.search().select([*names]).to_arrow())

    def largest_writer(self) -> int:
        """Return the largest `writer`, 0 without rows; raises as `columns`."""
        # Only this column is read: 8 bytes a row.
        return pc.max(self.columns("writer")["writer"]).as_py() or 0

    def size(self) -> TableSize:
        """Return the size of the open version."""
        with self._lance(f"measure table {NAME}"):
            return vector_size(NAME, self._table)

    def merge(self, rows: pa.Table) -> None:
        """Insert rows, or replace stored rows of the same id unless a later writer's.

        If `rows` repeats an id, the last of its rows is stored. Merging rows again that
        may already be stored is harmless.

        Args:
            rows: `schemas.arrow.memories(dimension, model)`; vectors of length 1.

        Raises:
            LakeError: the table was removed, or is not writable.
            StorageUnavailable: storage did not recover within `retry_s`; the rows may
                or may not be stored.
        """
        # The code below does not compare types, and Lance accepts vectors of NaN.
        assert rows.schema.equals(self._schema), rows.schema
        if not rows.num_rows:
            return
        rows.validate(full=True)
        assert _all_of_length_1(rows["vector"]), "a vector is not of length 1"
        rows = _last_of_each_id(rows).cast(_stored_schema(self._schema))
        self._retry(lambda: self._merge_once(rows))

    def _read(self, once: Callable[[], R]) -> R:
        def step() -> R:
            with self._lance(f"read table {NAME}"):
                return on_newest_version(self._table, once)

        return self._retry(step)

    def _retry(self, step: Callable[[], R]) -> R:
        return retry(step, on=StorageUnavailable, seconds=self._retry_s)

    def _lance(self, doing: str) -> AbstractContextManager[None]:
        return storage_errors(self._storage, doing, lance=True)

    def _merge_once(self, rows: pa.Table) -> None:
        merge = (
            self._table.merge_insert("id")
            .when_matched_update_all(where="source.writer >= target.writer")
            .when_not_matched_insert_all()
            # With an index, Lance has missed rows and stored an id twice.
            .use_index(False)
        )
        with self._lance(f"write table {NAME}"):
            try:
                while not on_newest_version(
                    self._table,
                    lambda: self._check.is_stored_once(
                        rows, merge.execute(rows).version
                    ),
                ):
                    self._on_retry(NAME, "contention")
            except (*LANCE_ERRORS, OSError) as error:
                cause = "contention" if is_contention(error) else "storage"
                self._on_retry(NAME, cause)
                raise

    def _open(self) -> None:
        # Detects an unavailable store within seconds; LanceDB takes minutes.
        self._storage.has(NAME)
        with self._lance(f"open table {NAME}"):
            connection = generations.connect(self._storage, only_writes=True)
            self._table = self._open_or_create(connection)
            self._check_schema(self._table.schema)
            self._ensure_index()
            self._check = CommitCheck(self._storage, self._generation, self._table)

    def _open_or_create(self, connection: "DBConnection") -> "Table":
        if (found := generations.open_table(connection, self._generation)) is not None:
            return found
        name = generations.table_name(self._generation)
        try:
            return connection.create_table(name, schema=_stored_schema(self._schema))
        except (ValueError, RuntimeError):
            # Another process may have created it at the same time.
            found = generations.open_table(connection, self._generation)
            if found is not None:
                return found
            raise

    def _check_schema(self, found: pa.Schema) -> None:
        model = (found.metadata or {}).get(MODEL, b"").decode()
        length = found.field("vector").type.list_size
        wanted_model = self._schema.metadata[MODEL].decode()
        wanted_length = self._schema.field("vector").type.list_size
        if (model, length) != (wanted_model, wanted_length):
            msg = (
                f"The memories have vectors of {model!r} ({length} numbers), "
                f"the settings name {wanted_model!r} ({wanted_length})."
            )
            raise LakeError(msg, REINDEX)
        if not found.equals(_stored_schema(self._schema)):
            raise LakeError(OTHER_COLUMNS, REINDEX)

    def _ensure_index(self) -> None:
        """Build the full-text index; without it, search would split words by itself."""
        if self._has_index():
            return
        try:
            self._table.create_index(WORDS, config=words_index(), replace=False)
        except (ValueError, RuntimeError):
            # Another process may have built it at the same time.
            self._table.checkout_latest()  # type: ignore[no-untyped-call]
            if not self._has_index():
                raise

    def _has_index(self) -> bool:
        return any(found.columns == [WORDS] for found in self._table.list_indices())


def words_index() -> "FTS":
    """Return the full-text index of the column `words`, which has terms, not texts."""
    # Imported late: only `generations.connect` handles a missing LanceDB.
    from lancedb.index import FTS  # noqa: PLC0415

    # No positions: they have crashed maintenance, and only phrase queries use them.
    return FTS(
        base_tokenizer="whitespace",
        max_token_length=None,
        lower_case=False,
        stem=False,
        remove_stop_words=False,
        ascii_folding=False,
        with_position=False,
    )


def _stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the table's schema: ids of variable length, declared as its key."""
    key = pa.field("id", pa.binary(), nullable=False, metadata=KEY)
    return schema.set(schema.get_field_index("id"), key)


def _last_of_each_id(rows: pa.Table) -> pa.Table:
    """Return the last row of each id: Lance would insert both rows of a new id."""
    last = {key: row for row, key in enumerate(rows["id"].to_pylist())}
    return rows if len(last) == rows.num_rows else rows.take(list(last.values()))


def _all_of_length_1(vectors: pa.ChunkedArray) -> bool:
    if vectors.null_count:
        return False
    numbers = vectors.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    lengths = np.linalg.norm(numbers.reshape(len(vectors), -1), axis=1)
    # A comparison with NaN is false.
    return bool((np.abs(lengths - 1) < STORED_NORM_TOLERANCE).all())
