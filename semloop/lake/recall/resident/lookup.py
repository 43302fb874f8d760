"""Finds rows by a number that they have, such as the hashes of their stems."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from semloop.lake.recall.features import Ints


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """Rows by key: those of the n-th key are `rows[starts[n]:starts[n + 1]]`."""

    keys: NDArray[Any]
    starts: NDArray[np.int32]
    rows: NDArray[np.int32]

    @classmethod
    def of(cls, keys: NDArray[Any], rows: NDArray[np.int32]) -> Self:
        """Sort pairs of key and row; the rows are in order, and pairs may repeat."""
        order = np.argsort(keys, kind="stable")
        keys, rows = keys[order], rows[order]
        is_new = np.ones(len(keys), bool)
        is_new[1:] = keys[1:] != keys[:-1]
        is_other = is_new.copy()
        is_other[1:] |= rows[1:] != rows[:-1]
        keys, rows, is_new = keys[is_other], rows[is_other], is_new[is_other]
        starts = np.append(np.flatnonzero(is_new), len(keys)).astype(np.int32)
        return cls(keys[is_new], starts, rows)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.keys.nbytes + self.starts.nbytes + self.rows.nbytes

    def rows_of(self, wanted: Sequence[int]) -> Ints:
        """Return the distinct rows that have one of the keys, in order."""
        asked = np.unique(np.array(wanted, self.keys.dtype))
        at = np.searchsorted(self.keys, asked)
        known = at < len(self.keys)
        known[known] = self.keys[at[known]] == asked[known]
        parts = [
            self.rows[self.starts[n] : self.starts[n + 1]] for n in at[known].tolist()
        ]
        if len(parts) == 1:
            return parts[0].astype(np.int64)
        has_key = np.zeros(max((part[-1] + 1 for part in parts), default=0), bool)
        for part in parts:
            has_key[part] = True
        return np.flatnonzero(has_key)
