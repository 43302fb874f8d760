"""Named points of the flows at which a process ends itself or freezes."""

import importlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any


@dataclass(frozen=True)
class FailPoint:
    """A function, and if the process ends before or after a call of it.

    `target`: module and name, `module:Class.name`, as the flow looks it up.
    """

    flow: str
    target: str
    after: bool = True

    def found(self) -> tuple[Any, str]:
        """Return the module or class, and the name of the function there."""
        module, _, path = self.target.partition(":")
        owner: Any = importlib.import_module(module)
        *classes, name = path.split(".")
        for each in classes:
            owner = getattr(owner, each)
        return owner, name

    def arm(self, ends_with: signal.Signals) -> None:
        """Send the signal to this process once, at the first call."""
        owner, name = self.found()
        original: Callable[..., Any] = getattr(owner, name)

        @wraps(original)
        def failing(*args: Any, **options: Any) -> Any:
            setattr(owner, name, original)
            if not self.after:
                os.kill(os.getpid(), ends_with)
            found = original(*args, **options)
            if self.after:
                os.kill(os.getpid(), ends_with)
            return found

        setattr(owner, name, failing)


def _before(flow: str, target: str) -> FailPoint:
    return FailPoint(flow, target, after=False)


TAKEOVER = "sinks.delta.takeover:Takeover"
WRITE = "sinks.delta.table_log:write_file"
MERGE = "sinks.vectors.table:VectorTable.merge"
SWITCH = "sinks.episode_switch:EpisodeSwitch.replace_by"
COMMIT = "sinks.delta.fenced_table:FencedTable.commit"
ENTRY_PUT = "sinks.compaction.log_entry:_checked"
FAIL_POINTS = {
    "archive, between the fences": _before("archive", f"{TAKEOVER}.fence_side"),
    "archive, after its fences": FailPoint("archive", f"{TAKEOVER}.run"),
    "archive, after a data file": FailPoint("archive", WRITE),
    "archive, between side and main table": FailPoint(
        "archive", "sinks.archive_tables:commit_dead_letters"
    ),
    "archive, after its commit": FailPoint(
        "archive", "sinks.archive_tables:commit_events"
    ),
    "memory, after its fence": FailPoint("memory", f"{TAKEOVER}.run"),
    "memory, between vectors and Delta": FailPoint("memory", MERGE),
    "memory, after a data file": FailPoint("memory", WRITE),
    "memory, after its commit": FailPoint("memory", COMMIT),
    "compact, before its entry": _before(
        "compact", "sinks.compaction.tables:commit_merged"
    ),
    "compact, after its entry": _before("compact", ENTRY_PUT),
    "retain, before its entry": _before(
        "retain", "sinks.retention.tables:commit_replacement"
    ),
    "retain, after its entry": _before("retain", ENTRY_PUT),
    "rebuild, after some memories": FailPoint("rebuild", MERGE),
    "rebuild, after its position": FailPoint(
        "rebuild", "sinks.delta.reindex_positions:ReindexPositions.write"
    ),
    "rebuild, after the carried memories": FailPoint(
        "rebuild", "sinks.vectors.carried_memories:CarriedMemories.copy"
    ),
    "rebuild, after the maintenance": FailPoint(
        "rebuild", "sinks.rebuilt_generation:RebuiltGeneration._maintain"
    ),
    "rebuild, after its files": FailPoint(
        "rebuild", "sinks.rebuilt_generation:write_dated"
    ),
    "rebuild, before the switch": _before("rebuild", SWITCH),
    "rebuild, after the switch": FailPoint("rebuild", SWITCH),
    "vacuum, after its entry": FailPoint("vacuum", "sinks.vacuum:_put_entry"),
    "vacuum, between two deletions": FailPoint("vacuum", "sinks.vacuum:remove_files"),
}
