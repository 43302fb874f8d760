"""The interface between the fencing protocol and a Delta table in storage.

`table_log.py` implements it. Tests wrap that implementation, to crash, to lose replies
or to break a rule of the protocol.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from semloop.errors import LakeError, StorageUnavailable
from semloop.storage.location import Storage


class DeltaLog(Protocol):
    """A Delta table, open at one version.

    `write`, `age_s` and `commit` raise the errors of the libraries:
    `commit_error.FAILURES`. The others raise StorageUnavailable when storage cannot be
    read now, and LakeError when a retry would not help.
    """

    @property
    def name(self) -> str:
        """The table's folder in the lake."""

    @property
    def handle(self) -> DeltaTable:
        """The open version, for readers of its files."""

    @property
    def version(self) -> int:
        """Number of the open version."""

    def stored(self, app_id: str) -> int | None:
        """Return the number that the open version stores under an app id."""

    def entries(self, since: int) -> Iterable[Mapping[str, int] | None]:
        """Return the numbers of each commit after a version, up to the open version.

        Returns:
            app id -> number, per commit; None for a commit whose entry was cleaned up
            because a checkpoint contains it.
        """

    def follow(self) -> None:
        """Move from the open version to the newest one; reads only new entries."""

    def reopen(self) -> None:
        """Open the newest version from scratch."""

    def write(self, rows: pa.Table) -> AddAction:
        """Write rows of the table's schema to a file that no version contains yet."""

    def age_s(self, file: AddAction) -> float:
        """Return how much older a file is than the open version, seconds.

        Both times are of the storage's clock. Infinite if the file, or the entry of the
        version, was deleted.
        """

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        """Append files and numbers in one commit, on top of the open version.

        The open version stays; `follow` moves to the new one.

        Args:
            files: results of `write`.
            transactions: app id -> number. A commit after the open version that carries
                one of these app ids makes this commit fail.
        """

    def explain(self, error: Exception) -> LakeError | StorageUnavailable:
        """Translate an error of `write` or `commit` into a SemLoop error."""


OpenLog = Callable[[Storage, str], DeltaLog]
