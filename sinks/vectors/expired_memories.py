"""Removes memories that have expired, while flows write and readers search them.

LanceDB only marks deleted rows: their bytes stay in data files, and in indexes. So the
other rows of their fragments are moved to new ones first, and the indexes are built
again. A mark says that the latter is still to be done, should the run be killed.
`maintain index` drops the versions with the former files.

It may be stopped at any time and run again, and several may run at a time: rows are
chosen by their values, never by what an earlier run has found.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from semloop.errors import StorageUnavailable
from semloop.lake import generations
from semloop.retry import retry
from semloop.storage.errors import storage_errors
from semloop.storage.listing import remove_files, stored_files
from semloop.storage.location import Storage
from sinks.vectors.least_important import least_important
from sinks.vectors.maintenance import rebuild_steps, run_step
from sinks.vectors.newest_version import on_newest_version
from sinks.vectors.table import NAME

if TYPE_CHECKING:
    from lancedb.table import Table

R = TypeVar("R")
ROW_ID = "_rowid"
# A row id is that of its fragment, then the number of the row in it.
FRAGMENT_BITS = 32
# Each lost attempt means that a compaction has moved the rows meanwhile.
ATTEMPTS_MAX = 20
# The condition that selects no row.
NONE = "false"
# A file here says that the indexes of a generation may have rows that are gone.
MARKS = f"{generations.FOLDER}/expired"


@dataclass(frozen=True)
class Removed:
    """Memories that are gone, or would be; `bytes` is an estimate."""

    rows: int = 0
    dates: int = 0
    bytes: int = 0


def remove_expired(
    storage: Storage,
    generation: int,
    condition: str,
    counts_max: Mapping[str, int],
    retry_s: float,
    *,
    dry_run: bool = False,
) -> Removed | None:
    """Remove the memories that a condition selects, from the files of the table, too.

    Args:
        storage: the lake.
        generation: generation of the table.
        condition: in Lance's SQL, never NULL; selects a row or not for good.
        counts_max: namespace -> how many others to keep, as of `least_important`.
        retry_s: how long each step is retried, seconds.
        dry_run: count the memories, and remove none.

    Returns:
        None if the table does not exist.

    Raises:
        LakeError: the table was removed, or is not writable.
        StorageUnavailable: a step did not succeed within `retry_s`.
        MissingExtra: LanceDB is not installed.
    """
    with storage_errors(storage, f"open table {NAME}", lance=True):
        table = generations.open_existing(storage, generation)
    if table is None:
        return None
    run = _Run(storage, generation, table, retry_s)
    # Before rows are looked for: what these runs have not removed, this one does.
    marks = _marks(storage, generation)
    run.choose(condition, counts_max)
    found = run.expired()
    removed = run.count(found)
    if dry_run:
        return removed
    if found.num_rows:
        marks.append(f"{MARKS}/{generation}-{secrets.token_hex(8)}")
        storage.replace(marks[-1], b"")
        run.remove(found)
    if marks:
        run.rebuild_indexes()
        remove_files(storage, marks)
    return removed


class _Run:
    def __init__(
        self,
        storage: Storage,
        generation: int,
        table: "Table",
        retry_s: float,
    ) -> None:
        self._storage, self._generation, self._table = storage, generation, table
        self._condition, self._retry_s = NONE, retry_s

    def choose(self, condition: str, counts_max: Mapping[str, int]) -> None:
        """Determine the condition of the rows that go."""

        def once() -> str:
            self._table.checkout_latest()  # type: ignore[no-untyped-call]
            return least_important(self._table, counts_max, condition)

        others = self._read(once) if counts_max else NONE
        self._condition = f"({condition} OR {others})"

    def expired(self) -> pa.Table:
        """Return row id and Kafka timestamp of the expired rows."""

        def once() -> pa.Table:
            self._table.checkout_latest()  # type: ignore[no-untyped-call]
            query: Any = self._table.search().where(self._condition)
            return query.select(["kafka_ts"]).with_row_id(True).to_arrow()

        return self._read(once)

    def count(self, found: pa.Table) -> Removed:
        """Return how much goes."""
        if not found.num_rows:
            return Removed()
        days = pc.count_distinct(found["kafka_ts"].cast(pa.date32(), safe=False))
        # LanceDB declares another type than it returns.
        statistics: Any = self._table.stats()
        rows = max(1, statistics["num_rows"])
        size = statistics["total_bytes"] * found.num_rows // rows
        return Removed(found.num_rows, days.as_py(), size)

    def remove(self, found: pa.Table) -> None:
        """Move the other rows of their fragments, then delete them.

        A fragment without rows is gone. Rows of other fragments are not touched: a
        compaction may have moved expired rows next to others meanwhile.

        Raises:
            StorageUnavailable: compactions were always faster.
        """
        for _ in range(ATTEMPTS_MAX):
            fragments = _fragments(found[ROW_ID].to_pylist())
            others = f"({fragments}) AND NOT {self._condition}"
            self._step("move", partial(self._move, others))
            gone = f"({fragments}) AND {self._condition}"
            self._step("expire", partial(self._table.delete, gone))
            found = self.expired()
            if not found.num_rows:
                return
        msg = "The memories were compacted again and again while some were removed."
        raise StorageUnavailable(msg, "Run `semloop maintain retain` again.")

    def rebuild_indexes(self) -> None:
        """Build the indexes of the rows that are left."""
        for name, step in rebuild_steps(self._table):
            self._step(name, step)

    def _move(self, others: str) -> None:
        if self._table.count_rows(others):
            # A row that is updated, if only by its own value, is written again.
            self._table.update(where=others, values_sql={"writer": "writer"})

    def _read(self, function: Callable[[], R]) -> R:
        def once() -> R:
            with storage_errors(self._storage, f"read table {NAME}", lance=True):
                return on_newest_version(self._table, function)

        return retry(once, on=StorageUnavailable, seconds=self._retry_s)

    def _step(self, name: str, step: Callable[[], object]) -> None:
        retry(
            partial(run_step, self._storage, self._generation, self._table, name, step),
            on=StorageUnavailable,
            seconds=self._retry_s,
        )


def _marks(storage: Storage, generation: int) -> list[str]:
    """Return the marks of runs on this generation, and on those that are not used.

    Those of the current one stay while `reindex` fills this one: it may not switch.
    """
    used = generations.current(storage) or generations.FIRST_GENERATION
    numbers = {generation, *range(generations.FIRST_GENERATION, used)}
    prefixes = tuple(f"{MARKS}/{number}-" for number in numbers)
    names = [file.name for file in stored_files(storage, MARKS)]
    return [name for name in names if name.startswith(prefixes)]


def _fragments(row_ids: Iterable[int]) -> str:
    """Return the condition of the rows of the fragments that have these rows."""
    numbers = sorted({row_id >> FRAGMENT_BITS for row_id in row_ids})
    breaks = [n for n, (a, b) in enumerate(pairwise(numbers), 1) if b > a + 1]
    parts = zip([0, *breaks], [*breaks, len(numbers)], strict=True)
    ranges = [(numbers[start], numbers[end - 1] + 1) for start, end in parts]
    return " OR ".join(
        f"({ROW_ID} >= {first << FRAGMENT_BITS} AND {ROW_ID} < {end << FRAGMENT_BITS})"
        for first, end in ranges
    )
