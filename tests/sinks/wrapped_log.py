"""The log of a Delta table in the hands of a test.

A test replaces the port that the protocol stands on, and nothing of the protocol: it
wraps the real log and overrides what shall fail, be late or be a lie.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from semloop.errors import LakeError, StorageUnavailable
from sinks.delta.delta_log import DeltaLog
from tests.sinks.sink_contract import foreign_commit


class WrappedLog:
    """Passes every call on to another log."""

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

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        self._log.commit(files, transactions)

    def explain(self, error: Exception) -> LakeError | StorageUnavailable:
        return self._log.explain(error)


class LosesReplies(WrappedLog):
    """Commits and loses the reply of storage, as often as `lose` says.

    The library then tries again and meets its own entry.
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
    """Others commit before it, `rivals` times so often that the library gives up."""

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
    """Moves to new versions and fails to read them, as often as `failures` says."""

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
