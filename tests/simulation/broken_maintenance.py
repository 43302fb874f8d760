"""Parts of compaction and vacuum that break one rule each."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from operators.compaction import plan
from schemas.batches import Merge
from schemas.compaction import Replacement, TableDate
from semloop.storage.errors import storage_errors
from sinks.compaction import log_entry
from sinks.compaction.active_files import ActiveFiles
from sinks.compaction.log_entry import Outcome
from tests.simulation.store import SimulatedStorage

NEVER_TOO_OLD = timedelta.max
ATTEMPT = log_entry._attempt


class Unremoved(ActiveFiles):
    """Counts files as active that another maintainer has removed meanwhile."""

    def _apply(self, entry: bytes) -> None:
        before = set(self.paths)
        super()._apply(entry)
        self.paths |= before


class Unchanged(ActiveFiles):
    """Continues after an entry that changes the table, such as that of a vacuum."""

    def _apply(self, entry: bytes) -> None:
        super()._apply(entry)
        self.changed = False

    def reopen(self) -> None:
        super().reopen()
        self.changed = False


class Unverified(ActiveFiles):
    """Does not look if the log was cleaned up to the version it has read."""

    def has_own_entry(self) -> bool:
        return True


class Unguarded(Unchanged, Unverified):
    """Breaks both rules."""


def overwrite(storage: SimulatedStorage, name: str, data: bytes) -> bool:
    """Write a file, also in the place of another one."""
    with storage_errors(storage, f"create {name}"):
        storage.simulated.put(name, data)
    return True


def every_second(item: TableDate) -> list[Merge]:
    """Merge files of commits that do not follow one another."""
    return [
        replace(merge, files=merge.files[::2])
        for merge in plan(item)
        if len(merge.files) > 2
    ]


def attempt_blindly(
    storage: Any, active: ActiveFiles, change: Replacement, tried: Any
) -> Outcome | None:
    """Put an entry without a look for one of an earlier attempt."""
    return ATTEMPT(storage, active, change, {})
