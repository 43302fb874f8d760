"""The memories: rows with vectors, merged by id, so that a replay changes nothing.

A LanceDB table has no offsets and no fences. Ids are made of where a row comes from,
and a row gives way only to one of the same or a later writer; so rows may be merged
again, and what a writer that was taken over still merges overwrites nothing.
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
    REINDEX,
    is_contention,
    storage_errors,
)
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from lancedb import DBConnection
    from lancedb.table import Table

R = TypeVar("R")
NAME = "memories"
SEARCH_TEXT = "search_text"
MODEL = b"semloop.model"
# With it Lance tells writers of one new id from each other, if the ids are of variable
# length: of `binary(16)` both are kept, seen with LanceDB 0.40.
KEY = {"lance-schema:unenforced-primary-key:position": "1"}
# Of the length 1 that vectors must have.
NORM_TOLERANCE = 1e-2


class VectorTable:
    """The table of one generation, as its writers see it; not thread-safe.

    Unit of parallelism: a writer for its own partitions, beside maintenance. Guarantee:
    each id is there once, as its latest writer merged it, across crashes, second copies
    and lost replies.
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
        """Nothing is opened yet; `open` does.

        Args:
            storage: the lake.
            generation: whose table it is.
            dimension: length of the vectors.
            model: id of the model that makes them.
            retry_s: how long to try again while storage is not available.
            on_retry: told table and cause of each failed try.
        """
        self._storage = storage
        self._generation = generation
        self._schema = schema_of(dimension, model)
        self._retry_s = retry_s
        self._on_retry = on_retry
        self._table: Table

    def open(self) -> None:
        """Open the table, or make it; whoever died in the middle of that is healed.

        Raises:
            LakeError: its vectors are of another model, or it may not be made.
            StorageUnavailable: not within `retry_s`.
            MissingExtra: LanceDB is not installed.
        """
        self._retry(self._open)

    def exists(self) -> bool:
        """Whether the table is there, by whomever it was made.

        Raises:
            StorageUnavailable: nobody can tell.
        """

        def once() -> bool:
            with self._lance(f"open table {NAME}"):
                connection = generations.connect(self._storage)
                return generations.open_table(connection, self._generation) is not None

        return self._retry(once)

    def episode_ids(self) -> set[str]:
        """The episodes that are remembered.

        Raises:
            LakeError: the table is gone. StorageUnavailable: it cannot be read.
        """

        def once() -> set[str]:
            with self._lance(f"read table {NAME}"):
                wanted = self._table.search().where("kind = 'episode'")
                found = wanted.select(["episode_id"]).to_arrow()
            return set(found["episode_id"].to_pylist())

        return self._retry(once)

    def largest_writer(self) -> int:
        """The largest writer of any row at this moment, 0 without rows.

        Raises:
            LakeError: the table is gone. StorageUnavailable: it cannot be read.
        """

        def once() -> int:
            with self._lance(f"read table {NAME}"):
                # Only this column is read: 8 bytes a row.
                found = self._table.search().select(["writer"]).to_arrow()
            return pc.max(found["writer"]).as_py() or 0

        return self._retry(once)

    def merge(self, rows: pa.Table) -> None:
        """Insert rows, or replace those of the same id and no later writer.

        Of rows with one id in `rows` the last counts. To merge again what may have
        arrived changes nothing.

        Args:
            rows: `schemas.arrow.memories(dimension, model)`; vectors of length 1.

        Raises:
            LakeError: the table is gone, or may not be written.
            StorageUnavailable: not within `retry_s`. Whether it was written is not
                known.
        """
        # Nothing below compares types, and Lance takes vectors of NaN without a word.
        assert rows.schema.equals(self._schema), rows.schema
        if not rows.num_rows:
            return
        rows.validate(full=True)
        assert _all_of_length_1(rows["vector"]), "a vector is not of length 1"
        rows = _last_of_each(rows).cast(_stored(self._schema))
        self._retry(lambda: self._try(rows))

    def _retry(self, step: Callable[[], R]) -> R:
        return retry(step, on=StorageUnavailable, seconds=self._retry_s)

    def _lance(self, doing: str) -> AbstractContextManager[None]:
        return storage_errors(self._storage, doing, lance=True)

    def _try(self, rows: pa.Table) -> None:
        merge = (
            self._table.merge_insert("id")
            .when_matched_update_all(where="source.writer >= target.writer")
            .when_not_matched_insert_all()
            # With an index it has missed rows, and kept two of one id.
            .use_index(False)
        )
        with self._lance(f"write table {NAME}"):
            try:
                merge.execute(rows)
            except (*LANCE_ERRORS, OSError) as error:
                cause = "contention" if is_contention(error) else "storage"
                self._on_retry(NAME, cause)
                raise

    def _open(self) -> None:
        # LanceDB waits minutes for a store that does not answer; this waits seconds.
        self._storage.has(NAME)
        with self._lance(f"open table {NAME}"):
            connection = generations.connect(self._storage)
            self._table = self._made(connection)
            self._check(self._table.schema)
            self._index()

    def _made(self, connection: "DBConnection") -> "Table":
        if (found := generations.open_table(connection, self._generation)) is not None:
            return found
        name = generations.table_name(self._generation)
        try:
            return connection.create_table(name, schema=_stored(self._schema))
        except (ValueError, RuntimeError):
            # Another process made it at the same moment.
            if (
                found := generations.open_table(connection, self._generation)
            ) is not None:
                return found
            raise

    def _check(self, found: pa.Schema) -> None:
        told = (found.metadata or {}).get(MODEL, b"").decode()
        length = found.field("vector").type.list_size
        wanted = self._schema.metadata[MODEL].decode()
        wanted_length = self._schema.field("vector").type.list_size
        if (told, length) != (wanted, wanted_length):
            msg = (
                f"The memories have vectors of {told!r} ({length} numbers), "
                f"the settings name {wanted!r} ({wanted_length})."
            )
            raise LakeError(msg, REINDEX)
        if not found.equals(_stored(self._schema)):
            msg = "The memories have other columns than this version of SemLoop."
            raise LakeError(msg, REINDEX)

    def _index(self) -> None:
        """Make the full-text index; without one all texts are read, stems unknown."""
        if self._indexed():
            return
        # Only `memories.connect` knows how to load LanceDB.
        from lancedb.index import FTS  # noqa: PLC0415

        # Positions have crashed maintenance, and phrases are not searched for.
        stems = FTS(
            language="English", stem=True, remove_stop_words=True, with_position=False
        )
        try:
            self._table.create_index(SEARCH_TEXT, config=stems, replace=False)
        except (ValueError, RuntimeError):
            # Another process made it at the same moment.
            self._table.checkout_latest()  # type: ignore[no-untyped-call]
            if not self._indexed():
                raise

    def _indexed(self) -> bool:
        return any(
            found.columns == [SEARCH_TEXT] for found in self._table.list_indices()
        )


def _stored(schema: pa.Schema) -> pa.Schema:
    """The schema as the table has it: ids of variable length, declared as its key."""
    key = pa.field("id", pa.binary(), nullable=False, metadata=KEY)
    return schema.set(schema.get_field_index("id"), key)


def _last_of_each(rows: pa.Table) -> pa.Table:
    """Rows of distinct ids: of two new ones of an id Lance would insert both."""
    last = {key: row for row, key in enumerate(rows["id"].to_pylist())}
    return rows if len(last) == rows.num_rows else rows.take(list(last.values()))


def _all_of_length_1(vectors: pa.ChunkedArray) -> bool:
    if vectors.null_count:
        return False
    numbers = vectors.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    found = np.linalg.norm(numbers.reshape(len(vectors), -1), axis=1)
    # A comparison with NaN is false.
    return bool((np.abs(found - 1) < NORM_TOLERANCE).all())
