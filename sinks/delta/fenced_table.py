"""One Delta table as one writer holds it: rows, offsets and fences in one commit.

Every commit carries, for every partition that the writer owns, its offset and its
fence (`epoch * 2**32 + n`, n counting this writer's commits), moved or not. So any two
writers of a partition conflict, an older one finds out at its next commit, and after a
lost reply the writer can tell its own commit from another's. docs/adr/0003 has the
crash schedules behind each rule.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, Protocol

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction
from typing_extensions import TypeVar

from semloop.delta.log_entry import entry_name, transactions
from semloop.errors import LakeError, StorageUnavailable, TakenOver, Terminal
from semloop.retry import retry
from semloop.storage.errors import storage_errors, translate
from semloop.storage.location import Storage
from sinks.delta.commit_error import FAILURES, CommitFailure, commit_failure
from sinks.delta.parquet_file import write_file

NEVER_READ = -1


# What a flow reads in parts that are each owned by one writer: the number of a
# partition, or an origin where several topics are read.
Key = TypeVar("Key", bound=Hashable, default=int)
Key_contra = TypeVar("Key_contra", bound=Hashable, contravariant=True)


class Names(Protocol[Key_contra]):
    """Under which names offsets and fences are filed; `StreamId` is one."""

    def app_id(self, table: str, partition: Key_contra, /) -> str:
        """Name of the Delta `Transaction` that keeps a partition's last offset."""


class RowsRefused(Terminal):
    """The table refuses these rows for what they hold."""


class FencedTable(Generic[Key]):
    """A table and this writer's standing in it.

    Not thread-safe; one per worker and table. `take` must succeed before `commit`.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        log: Names[Key],
        owned: Sequence[Key],
        retry_s: float = 60.0,
        on_retry: Callable[[str, str], None] = lambda table, cause: None,
    ) -> None:
        self.name = name
        self.owned = tuple(owned)
        self.offsets: dict[Key, int] = {}
        self.commits_since_open = 0
        self._storage = storage
        self._log = log
        self._retry_s = retry_s
        self._on_retry = on_retry
        self._epochs: dict[Key, int] = {}
        self._count = 0
        # Whether the handle may have gone past commits that nobody looked at.
        self._unsure = False
        # The file of the commit under way: later tries need not write it again.
        self._written: AddAction | None = None
        # What only the commit under way puts there, by its full name.
        self._also: dict[str, int] = {}
        self.handle: DeltaTable
        self.refresh()
        self._schema = self.handle.schema()
        self._arrow = pa.schema(self._schema.to_arrow())
        self._partition_by = self.handle.metadata().partition_columns

    def stored(self, partition: Key, kind: str = "") -> int | None:
        """A number that the handle's version keeps for a partition.

        `kind`: nothing for the last offset, `/fence`, or the name of another number.

        Raises:
            StorageUnavailable: the log cannot be read.
        """
        app_id = self._log.app_id(self.name, partition) + kind
        with storage_errors(self._storage, f"read table {self.name}"):
            number: int | None = self.handle.transaction_version(app_id)
        return number

    def epoch(self, partition: Key) -> int:
        """Epoch of the partition's present owner, 0 if it never had one."""
        return (self.stored(partition, "/fence") or 0) >> 32

    def holds(self, epochs: Mapping[Key, int]) -> bool:
        """Whether these epochs were put here and nothing was committed since."""
        return all(self.stored(p, "/fence") == e << 32 for p, e in epochs.items())

    def refresh(self) -> None:
        """Open the newest version, whoever owns it.

        Raises:
            StorageUnavailable: it cannot be read.
        """
        with storage_errors(self._storage, f"read table {self.name}"):
            self.handle = self._storage.open(self.name)
        self.commits_since_open = 0

    def take(
        self, epochs: Mapping[Key, int], also: Mapping[str, int] | None = None
    ) -> bool:
        """Try once to fence off all other writers, on the version that is open.

        Args:
            epochs: of every owned partition.
            also: further int64s by their full names, put there by the same commit.

        Returns:
            False when somebody committed meanwhile: refresh, count again, try again.

        Raises:
            TakenOver: a rival did the same right after it.
            StorageUnavailable: whether the fence is there is not known.
        """
        self._epochs, self._count, self._unsure = dict(epochs), 0, False
        stored = {p: self.stored(p) for p in self.owned}
        self.offsets = {p: NEVER_READ if o is None else o for p, o in stored.items()}
        self._written, self._also = None, dict(also or {})
        try:
            self._put(None, {})
        except FAILURES as error:
            if commit_failure(error) is CommitFailure.STORAGE:
                raise self._refusing(error) from error
            return False
        finally:
            self._also = {}
        self._follow()
        return True

    def commit(
        self,
        rows: pa.Table | None,
        offsets: Mapping[Key, int],
        numbers: Mapping[tuple[Key, str], int] | None = None,
    ) -> None:
        """Append rows together with the offsets that they bring the table to.

        Args:
            rows: in the table's own schema; None for offsets alone.
            offsets: partition -> last offset read past; others keep theirs.
            numbers: further int64s by (partition, kind), such as `/caught_up_ms`.

        Raises:
            TakenOver: a newer writer owns a partition; nothing was written.
            RowsRefused: the rows cannot be stored; nothing was written.
            StorageUnavailable: not within `retry_s`. Whether it was written is only
                known to who opens the table anew.
            LakeError: the table lost what was committed before, or writing to it is
                forbidden.
        """
        before = self.offsets
        # An offset never goes back, whatever a broker says about the end of its log.
        moved = {p: max(o, before.get(p, NEVER_READ)) for p, o in offsets.items()}
        self.offsets = {**before, **moved}
        self._count += 1
        self._written = None
        try:
            retry(
                lambda: self._try(rows, numbers or {}),
                on=StorageUnavailable,
                seconds=self._retry_s,
            )
        except RowsRefused:
            self.offsets, self._count = before, self._count - 1
            raise
        self.commits_since_open += 1

    def reopen(self) -> None:
        """Open the newest version and make sure that it is still this writer's.

        Raises:
            TakenOver: it is not.
            StorageUnavailable: it cannot be read.
            LakeError: it lost what was committed before.
        """
        if self._standing() != self._fences(self._count):
            raise self._rolled_back()

    def look(self) -> None:
        """Follow the table, for who has nothing to write: cheaper than to reopen it.

        Raises:
            TakenOver: it is no longer this writer's.
            StorageUnavailable: it cannot be read.
        """
        self._follow(own=0)

    def _follow(self, own: int = 1) -> None:
        """Bring the handle to the newest version: it does not follow its own commits.

        What it meets on the way must not hide a take-over from the next commit. Only
        entries that are new are read for that: on an object store the library fetches
        the whole log since its checkpoint to tell one number.
        """
        seen, self._unsure = self.handle.version(), True
        with storage_errors(self._storage, f"read table {self.name}"):
            self.handle.update_incremental()
        newest = self.handle.version()
        if newest != seen + own:
            for version in range(seen + 1, newest + 1):
                self._raise_if_fenced(version)
        self._unsure = False

    def _raise_if_fenced(self, version: int) -> None:
        entry = self._storage.read(entry_name(self.name, version))
        if entry is None:  # It is in a checkpoint by now.
            self._raise_if_taken()
            return
        fences = {self._log.app_id(self.name, p) + "/fence": p for p in self._epochs}
        for name, fence in transactions(entry):
            partition = fences.get(name)
            if partition is not None and fence >> 32 != self._epochs[partition]:
                raise _taken(partition)

    def _raise_if_taken(self) -> None:
        for partition, epoch in self._epochs.items():
            found = self.epoch(partition)
            if found > epoch:
                raise _taken(partition)
            if found < epoch:
                raise self._rolled_back()

    def _standing(self) -> dict[Key, int]:
        """This writer's fences as the newest version has them."""
        self.refresh()
        self._raise_if_taken()
        found = {p: self.stored(p, "/fence") or 0 for p in self._epochs}
        self._unsure = False
        return found

    def _rolled_back(self) -> LakeError:
        msg = f"Table {self.name} no longer has what this flow committed to it."
        todo = (
            "Find out who restored or removed files there. Started again, the flow "
            "goes on from what the table holds."
        )
        return LakeError(msg, todo)

    def _try(
        self, rows: pa.Table | None, numbers: Mapping[tuple[Key, str], int]
    ) -> None:
        if self._unsure and self._arrived():
            return
        try:
            self._put(rows, numbers)
        except FAILURES as error:
            failure, cause = commit_failure(error), error
        else:
            self._follow()
            return
        self._on_retry(self.name, failure.value)
        if failure is CommitFailure.REFUSED:
            # The library's text may quote a value: only the kind of error is told.
            msg = f"Table {self.name} refuses rows: {type(cause).__name__}."
            raise RowsRefused(msg) from None
        if failure is not CommitFailure.CONTENTION:
            try:
                if self._arrived():
                    return
            except StorageUnavailable:
                pass  # What the commit met says more.
        raise self._refusing(cause) from cause

    def _arrived(self) -> bool:
        """Whether the commit under way is there: perhaps only its reply was lost."""
        found = self._standing()
        if found == self._fences(self._count):
            return True
        if found != self._fences(self._count - 1):
            # Nobody else writes our fences: a commit that was acknowledged is gone.
            raise self._rolled_back()
        return False

    def _put(
        self, rows: pa.Table | None, numbers: Mapping[tuple[Key, str], int]
    ) -> None:
        """One try to commit; raises what the libraries raise."""
        if self._written is None and rows is not None and rows.num_rows:
            # Nothing below compares types: another one would be stored without a word.
            assert rows.schema.equals(self._arrow), rows.schema
            rows.validate(full=True)
            self._written = write_file(self._storage, self.name, rows)
        self.handle.create_write_transaction(
            [] if self._written is None else [self._written],
            "append",
            self._schema,
            self._partition_by,
            commit_properties=CommitProperties(
                app_transactions=self._transactions(numbers)
            ),
        )

    def _transactions(
        self, numbers: Mapping[tuple[Key, str], int]
    ) -> list[Transaction]:
        found = {(p, ""): offset for p, offset in self.offsets.items()}
        found |= {(p, "/fence"): f for p, f in self._fences(self._count).items()}
        found |= numbers
        return [
            Transaction(self._log.app_id(self.name, partition) + kind, number)
            for (partition, kind), number in found.items()
        ] + [Transaction(name, number) for name, number in self._also.items()]

    def _fences(self, count: int) -> dict[Key, int]:
        return {p: (epoch << 32) + count for p, epoch in self._epochs.items()}

    def _refusing(self, error: Exception) -> StorageUnavailable | LakeError:
        return translate(self._storage, f"commit to table {self.name}", error)


def _taken(key: object) -> TakenOver:
    partition = key[-1] if isinstance(key, tuple) else key
    msg = f"A newer copy of this flow took over partition {partition}."
    return TakenOver(msg, "It goes on; this one stops. Nothing is lost.")
