"""Wrappers of a Delta table's log that inject faults.

A test replaces only the storage interface of the protocol, never the protocol itself:
it wraps the real log and overrides the methods that fail, delay or return wrong values.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from semloop.errors import LakeError, StorageUnavailable
from sinks.delta.delta_log import DeltaLog
from tests.sinks.sink_contract import foreign_commit

# Of a step that fails, with the fixture `fast_retries`.
ATTEMPTS = 30


class WrappedLog:
    """Forwards every call to another log."""

    def __init__(self, log: DeltaLog) -> None:
        self._log = log

    @property
    def name(self) -> str:
        return self._log.name

    @property
    def handle(self) -> DeltaTable:
        return self._log.handle

    @property
    def version(self) -> int:
        return self._log.version

    def stored(self, app_id: str) -> int | None:
        return self._log.stored(app_id)

    def entries(self, since: int) -> Iterable[Mapping[str, int] | None]:
        return self._log.entries(since)

    def follow(self) -> None:
        self._log.follow()

    def reopen(self) -> None:
        self._log.reopen()

    def write(self, rows: pa.Table) -> AddAction:
        return self._log.write(rows)

    def age_s(self, file: AddAction) -> float:
        return self._log.age_s(file)

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        self._log.commit(files, transactions)

    def explain(self, error: Exception) -> LakeError | StorageUnavailable:
        return self._log.explain(error)


class LosesReplies(WrappedLog):
    """Commits and loses the reply of storage, `lose` times.

    The library then retries and conflicts with its own entry.
    """

    lose = 0

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        if self.lose:
            self.lose -= 1
            super().commit(files, transactions)
        super().commit(files, transactions)


class Interrupted(WrappedLog):
    """Calls `then` right after the next commit."""

    then: Callable[[], object] | None = None

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        super().commit(files, transactions)
        then, self.then = self.then, None
        if then:
            then()


class Overtaken(WrappedLog):
    """Other writers commit first, until the library gives up; `rivals` times."""

    rivals = 0

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        if self.rivals:
            self.rivals -= 1
            late = self.handle
            foreign_commit(DeltaTable(late.table_uri), f"other/{self.rivals}")
            foreign_commit(late, "late", retries=0)
        super().commit(files, transactions)


class Unread(WrappedLog):
    """Moves to new versions and fails to read them, `failures` times."""

    failures = 0

    def stored(self, app_id: str) -> int | None:
        self._answer()
        return super().stored(app_id)

    def entries(self, since: int) -> Iterable[Mapping[str, int] | None]:
        self._answer()
        return super().entries(since)

    def _answer(self) -> None:
        if self.failures:
            self.failures -= 1
            msg = "It does not answer."
            raise StorageUnavailable(msg)
