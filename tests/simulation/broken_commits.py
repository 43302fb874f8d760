"""Parts of a writer that break one rule of its commits each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deltalake.transaction import AddAction

from semloop.delta.fence import FENCE, Fence
from semloop.delta.streams import Partition
from semloop.errors import LakeError, TakenOver
from sinks import archive_tables
from sinks.archive_rows import commit_dead_letters, commit_events
from sinks.archive_tables import ArchiveTables
from sinks.delta.ownership import Ownership
from sinks.delta.takeover import Takeover
from tests.sinks.wrapped_log import WrappedLog


class OffsetsLater(WrappedLog):
    """Commits rows first, and then the numbers that belong to them."""

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        if files:
            super().commit(files, {})
        super().commit((), transactions)


def take_over_early(
    tables: ArchiveTables, *, new_log: bool = False
) -> dict[Partition, int]:
    """Read the dead letters before the side table is fenced."""
    main, sides = tables.open(new_log=new_log)
    takeover = Takeover(main, sides)
    while not takeover.fence_main():
        pass
    offsets = tables.resume()
    for side in sides:
        while not takeover.fence_side(side):
            pass
    return offsets


def main_table_first() -> tuple[tuple[Any, str, Any], ...]:
    """Commit the events of a buffer, and then its dead letters."""
    waiting: dict[object, Callable[[], None]] = {}

    def later(table: Any, rows: Any, offsets: Any) -> None:
        waiting[table] = lambda: commit_dead_letters(table, rows, offsets)

    def first(tables: Any, *others: Any) -> Any:
        rejected = commit_events(tables, *others)
        waiting.pop(tables[1], lambda: None)()
        return rejected

    return (
        (archive_tables, "commit_dead_letters", later),
        (archive_tables, "commit_events", first),
    )


def next_as_reported(own: Ownership, offsets: Mapping[Partition, int]) -> Ownership:
    """Store the offsets as they are reported, also smaller ones."""
    return Ownership(own.epochs, {**own.offsets, **offsets}, own.commits + 1)


def reopen_blindly(checked: Any, own: Ownership) -> None:
    """Open the newest version, and compare nothing."""
    checked._log.reopen()
    checked._version = checked._log.version


def compare_new(checked: Any, own: Ownership, *, is_takeover: bool = False) -> bool:
    """Compare only the entries of new versions, and not that of the one before."""
    fences = {checked._app_id(p) + FENCE: p for p in own.epochs}
    for entry in checked._log.entries(checked._version):
        if entry is None:
            return bool(checked._compare_stored(own) == own.fences())
        for app_id, number in entry.items():
            partition = fences.get(app_id)
            if partition and Fence.unpack(number).epoch != own.epochs[partition]:
                msg = f"Another writer owns partition {partition.number}."
                raise TakenOver(msg)
    return True


def compare_strictly(checked: Any, own: Ownership) -> dict[Partition, Fence]:
    """Take the fences of an earlier writer for commits that were lost."""
    stored = {p: checked.fence(p) for p in own.epochs}
    for partition, fence in stored.items():
        if fence.epoch > own.epochs[partition]:
            msg = f"Another writer owns partition {partition.number}."
            raise TakenOver(msg)
        if fence.epoch < own.epochs[partition]:
            msg = "Commits were lost."
            raise LakeError(msg, "")
    return stored
