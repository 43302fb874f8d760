"""A part of the memories, held in memory; immutable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from semloop.lake.recall.features import Features, Ints, Mask, stacked
from semloop.lake.recall.filters import Filter
from semloop.lake.recall.hits import STORED
from semloop.lake.recall.resident.lookup import Lookup
from semloop.lake.recall.search_engine import Matrix, matrix_of
from semloop.lake.recall.searches import ROW_ID

# Text columns that conditions name.
FILTERED = (
    "kind", "type", "agent", "session_id", "user_id", "namespace", "status", "outcome",
    "episode_id",
)  # fmt: skip
SEARCHED = ("features", "position", "vector")
# Columns that are read of hits.
SHOWN = (*STORED, "search_text")
# Those whose texts many memories share.
REPEATED = {
    *FILTERED, "task_type", "tool", "error_type", "topic", "topic_id", "model",
}  # fmt: skip


def columns(*, shown: bool) -> list[str]:
    """Return the columns of the memories that a segment is made of."""
    return list(dict.fromkeys([*SEARCHED, *FILTERED, *(SHOWN if shown else ())]))


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Memories in the order of their row ids, with what recall searches by.

    Attributes:
        features: their features.
        vectors: float32, shape (memories, numbers).
        table: `position`, the columns of `FILTERED`, and those of `SHOWN` if they fit.
        positions: rows by `position`.
        stems: rows by the hash of a stem in their line or context.
        codes: index of the value of each memory in the dictionary of each column of
            `FILTERED`; -1 for null.
        alive: False for a memory that a later row has replaced.
    """

    features: Features
    vectors: Matrix
    table: pa.Table
    positions: Lookup
    stems: Lookup
    codes: Mapping[str, NDArray[np.int32]]
    alive: Mask

    @classmethod
    def of(cls, rows: pa.Table) -> Self:
        """Make a segment of rows with the columns of `columns` and their row ids."""
        ids = rows[ROW_ID].to_numpy()
        if (ids[1:] < ids[:-1]).any():
            rows = rows.take(np.argsort(ids))
        features = Features.of(rows["features"], rows[ROW_ID])
        vectors = matrix_of(rows["vector"])
        return cls._of(features, vectors, rows.drop(["features", "vector", ROW_ID]))

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """Return one segment of several in order, without replaced memories."""
        table = pa.concat_tables(part.table.filter(part.alive) for part in parts)
        return cls._of(
            stacked([part.features.take(part.alive) for part in parts]),
            np.concatenate([part.vectors[part.alive] for part in parts]),
            table,
        )

    @classmethod
    def _of(cls, features: Features, vectors: Matrix, table: pa.Table) -> Self:
        stored = {name: _encoded(name, table[name]) for name in table.column_names}
        features = features.compact()
        number = np.arange(len(features), dtype=np.int32)
        is_event = stored["position"].is_valid().to_numpy(zero_copy_only=False)
        events = stored["position"].drop_null().to_numpy()
        return cls(
            features=features,
            vectors=vectors,
            table=pa.table(stored),
            positions=Lookup.of(events, number[is_event]),
            stems=Lookup.of(
                features.stems, np.repeat(number, features.ends - features.starts)
            ),
            codes={name: _codes(stored[name]) for name in FILTERED},
            alive=np.ones(len(features), bool),
        )

    def __len__(self) -> int:
        """Return the number of memories, replaced ones included."""
        return len(self.alive)

    @property
    def has_shown(self) -> bool:
        """True if the columns of `SHOWN` are in memory."""
        return set(SHOWN) <= set(self.table.column_names)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        parts = (
            *(getattr(self.features, name) for name in Features.__slots__),
            *self.codes.values(),
            *(self.vectors, self.table, self.positions, self.stems, self.alive),
        )
        return sum(part.nbytes for part in parts)

    def without(self, ids: NDArray[np.uint64]) -> Self:
        """Return the segment with the memories of these ids marked as replaced."""
        replaced = self.alive & np.isin(self.features.header["id"], ids)
        return replace(self, alive=self.alive & ~replaced) if replaced.any() else self

    def mask(self, where: Filter) -> Mask:
        """Return which memories are behind a filter."""
        return self.alive & where.mask(self)

    def is_one_of(self, column: str, values: Sequence[str]) -> Mask:
        """Return which memories have one of these values; null is not one."""
        dictionary = self.table[column].chunk(0).dictionary
        wanted = pa.array(values, dictionary.type)
        known = pc.is_in(dictionary, wanted).to_numpy(zero_copy_only=False)
        # The code of null is the last one.
        found: Mask = np.append(known, False)[self.codes[column]]
        return found

    def is_null(self, column: str) -> Mask:
        """Return which memories have no value."""
        return self.codes[column] < 0

    def index_of(self, row_ids: Ints) -> Ints:
        """Return the index of each row id; -1 if it is not in this segment."""
        own = self.features.row_ids
        at = np.minimum(np.searchsorted(own, row_ids), len(own) - 1)
        return np.where((own[at] == row_ids) & self.alive[at], at, -1)


def _encoded(name: str, column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    array = column.combine_chunks()
    if name in REPEATED and not pa.types.is_dictionary(array.type):
        return array.dictionary_encode()
    return array


def _codes(column: pa.Array) -> NDArray[np.int32]:
    codes: NDArray[np.int32] = column.indices.fill_null(-1).to_numpy()
    return codes
