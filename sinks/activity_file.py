"""Writes the activity of a worker: its last sign of life, and counts by agent."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import structlog

from semloop.boot_clock import BootTime, Moment
from semloop.delta.streams import Partition
from semloop.errors import SemLoopError
from semloop.flow_registry import LAKE_READERS
from semloop.progress.activity import (
    Activity,
    AgentCounts,
    file_name,
    files_of,
    last_end,
    read_file,
)
from semloop.storage.location import Storage

# Least milliseconds between two writes; in an object store each is a billed request.
WRITE_MS = 1_000
WRITE_S3_MS = 10_000
# A flow that was silent for less was restarted, not stopped.
RESTART_MS = 60_000
# A flow that has just caught up by this much says so immediately.
JUMP_MS = 20_000

log = structlog.get_logger("activity")


class ActivityFile:
    """The file of one worker, replaced after an item if the last write is old enough.

    Only an item that has passed all steps gets here, so a step that hangs, or works on
    one record for minutes, leaves an old sign of life.

    Unit of parallelism: a worker. Guarantee: none; a write that fails is reported, and
    the next one makes up for it.
    """

    def __init__(self, storage: Storage, flow: str, worker: int, topic: str) -> None:
        self._storage = storage
        self._flow = flow
        self._place = (files_of(flow, topic), worker)
        self._every_ms = WRITE_S3_MS if storage.on_s3 else WRITE_MS
        self._activity = Activity(0)
        self._written_ms: int | None = None
        self._failed = False

    def resume(self, now: Moment) -> None:
        """Renew the sign of life of an earlier process that was not stopped on purpose.

        A start may wait for minutes, and must not look like a process that hangs.
        """
        earlier = self._earlier()
        if earlier and not earlier.ended:
            self._begin(earlier.partitions, earlier, now)

    def start(self, owned: Iterable[Partition], now: Moment) -> None:
        """Write the first sign of life; keep the counts of an earlier process."""
        partitions = [f"{p.topic_id}/{p.number}" for p in owned]
        self._begin(partitions, self._earlier(), now)

    def start_run(self, now: Moment) -> None:
        """Write that a run of a scheduled flow starts, and when one last ended."""
        earlier = self._earlier()
        self._activity = Activity(0)
        if ended := earlier and last_end(earlier):
            self._set_level(ended)
        self._write(now)

    def _earlier(self) -> Activity | None:
        try:
            return read_file(self._storage, *self._place)
        except SemLoopError:
            return None

    def _begin(
        self, partitions: list[str], earlier: Activity | None, now: Moment
    ) -> None:
        self._activity = Activity(0, partitions=partitions)
        if earlier:
            # A flow that stops again and again says so also while it starts.
            self._activity.minutes = earlier.minutes
            self._activity.stopped = earlier.stopped
        if self._flow in LAKE_READERS:
            # What has waited since before a restart counts, too; but since when
            # something waits for a flow that was stopped is unknown.
            level, silent_ms = None, earlier.at.age_ms(now) if earlier else None
            if earlier and silent_ms is not None and silent_ms < RESTART_MS:
                level = earlier.caught_up
            known = level and level.age_ms(now) is not None
            self._set_level(level if level and known else now)
        self._write(now)

    def _set_level(self, level: Moment) -> None:
        self._activity.caught_up_ms = level.wall_ms
        self._activity.caught_up_boot = level.boot

    def count(self, found: Mapping[str, AgentCounts], now: Moment) -> None:
        """Add the records of a commit; a local lake shows them right after it."""
        self._activity.count(found, now.wall_ms)
        self._activity.stopped = []
        if not self._storage.on_s3:
            self._write(now)

    def stop(self, reason: SemLoopError, now: Moment) -> None:
        """Write why the flow stops itself."""
        self._activity.stopped = [reason.what, reason.todo]
        self._write(now)

    def beat(
        self, caught_up_ms: int | None, now: Moment, *, ended: bool = False
    ) -> None:
        """Note that an item has passed all steps.

        Args:
            caught_up_ms: when the worker had last read all of its input; None: no news.
            now: the present moment.
            ended: no item follows.
        """
        has_caught_up = False
        if caught_up_ms not in (None, self._activity.caught_up_ms):
            earlier_ms = self._activity.caught_up_ms or 0
            has_caught_up = caught_up_ms - earlier_ms >= JUMP_MS
            self._set_level(_before(now, caught_up_ms))
        self._activity.ended = ended
        last_ms = self._written_ms
        is_set_back = now.wall_ms < self._activity.at_ms
        is_due = (
            last_ms is None or is_set_back or now.wall_ms - last_ms >= self._every_ms
        )
        if ended or has_caught_up or is_due:
            self._write(now)

    def _write(self, now: Moment) -> None:
        self._activity.at_ms, self._activity.at_boot = now.wall_ms, now.boot
        if not self._storage.on_s3 and not Path(self._storage.root).is_dir():
            return  # moved or deleted; a file would make a folder at its former place
        started_s = time.monotonic()
        try:
            data = msgspec.json.encode(self._activity)
            self._storage.replace(file_name(*self._place), data)
        except (OSError, SemLoopError) as error:
            if not self._failed:
                log.warning("activity not written", error=type(error).__name__)
            self._failed = True
        else:
            self._failed = False
        # From the end of a write to the next one: a slow store gets no more of them.
        self._written_ms = now.wall_ms + int((time.monotonic() - started_s) * 1_000)


def _before(now: Moment, wall_ms: int) -> Moment:
    """Return the moment of an earlier wall time, if the clock was not set since."""
    boot = now.boot
    if boot is not None:
        boot = BootTime(boot.boot, boot.ms - (now.wall_ms - wall_ms))
    return Moment(wall_ms, boot)
