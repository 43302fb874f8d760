"""Decides which memories have expired, by namespace.

A memory has no date of arrival; the Kafka timestamp of its record decides, and again
whole days expire. The memory of an episode has that of its last record.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from schemas.batches import Chunked, Progress
from semloop.settings.maintenance_section import MaintenanceSettings
from semloop.sql_text import quoted

TABLE = "memories"
EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a memory of a namespace has expired: it is of a record before `start`.

    None: it never expires.
    """

    start: datetime | None = None

    @property
    def sql(self) -> str:
        """The condition in Lance's SQL."""
        if self.start is None:
            return "false"
        return f"kafka_ts < timestamp '{self.start.isoformat()}'"

    def mask(self, memories: pa.Table) -> pa.Array:
        """Return which memories have expired."""
        if self.start is None:
            return pa.repeat(False, memories.num_rows)
        start = pa.scalar(self.start, memories.schema.field("kafka_ts").type)
        return pc.fill_null(pc.less(memories["kafka_ts"], start), False)


@dataclass(frozen=True, slots=True)
class MemoryExpiry:
    """The limits of each namespace that has its own, and of all others."""

    others: Limits
    by_namespace: Mapping[str, Limits]

    @property
    def is_empty(self) -> bool:
        """True if no memory ever expires."""
        return all(each == Limits() for each in (self.others, *self._own()))

    @property
    def sql(self) -> str:
        """The condition in Lance's SQL; never NULL."""
        names = ", ".join(map(quoted, self.by_namespace))
        own = [
            f"(namespace = {quoted(name)} AND {limits.sql})"
            for name, limits in self.by_namespace.items()
        ]
        unnamed = f"NOT coalesce(namespace IN ({names}), false)" if names else "true"
        parts = [*own, f"({unnamed} AND {self.others.sql})"]
        return f"coalesce({' OR '.join(parts)}, false)"

    def mask(self, memories: pa.Table) -> pa.Array:
        """Return which memories have expired; the rows that `sql` selects."""
        named = pa.array(self.by_namespace, pa.string())
        is_other = pc.invert(pc.is_in(memories["namespace"], named))
        found = pc.and_(is_other, self.others.mask(memories))
        for name, limits in self.by_namespace.items():
            is_own = pc.fill_null(pc.equal(memories["namespace"], name), False)
            found = pc.or_(found, pc.and_(is_own, limits.mask(memories)))
        return found

    def _own(self) -> tuple[Limits, ...]:
        return tuple(self.by_namespace.values())


def memory_expiry(settings: MaintenanceSettings, today: date) -> MemoryExpiry:
    """Return which memories have expired on a date.

    Args:
        settings: the days of `memories`, and of its namespaces; 0: indefinitely.
        today: the present date.
    """
    prefix = f"{TABLE}/"
    own = {
        key.removeprefix(prefix): Limits(_start(days, today))
        for key, days in sorted(settings.retention.items())
        if key.startswith(prefix)
    }
    days = settings.retention.get(TABLE, 0.0)
    return MemoryExpiry(Limits(_start(days, today)), own)


def _start(days: float, today: date) -> datetime | None:
    """Return the first moment that is kept; None if all are."""
    # Kafka has no earlier times than 1970, and Lance few.
    if not 0 < days < (today - date(1970, 1, 1)).days:
        return None
    first = today - timedelta(days=math.ceil(days))
    return datetime.combine(first, time.min, UTC)


def agreed_date(progress: Progress, now: datetime) -> date | None:
    """Return the date by the clocks of this machine and of `archive`, the earlier one.

    One clock that is ahead must not keep a memory from being written. None if `archive`
    has not caught up yet.
    """
    known_ms = max(progress.caught_up_ms.values(), default=None)
    if known_ms is None:
        return None
    return datetime.fromtimestamp(min(now.timestamp(), known_ms / 1_000), UTC).date()


def without_expired(
    chunked: Chunked, settings: MaintenanceSettings, today: date | None
) -> Chunked:
    """Leave out texts that `maintain retain` would remove again.

    `skipped` counts them as `expired`.

    Args:
        chunked: texts of a poll.
        settings: as of `memory_expiry`.
        today: the present date; None: nothing has expired.
    """
    if today is None or not chunked.memories.num_rows:
        return chunked
    expiry = memory_expiry(settings, today)
    if expiry.is_empty:
        return chunked
    kept = chunked.memories.filter(pc.invert(expiry.mask(chunked.memories)))
    if not (count := chunked.memories.num_rows - kept.num_rows):
        return chunked
    return replace(chunked, memories=kept, skipped={**chunked.skipped, EXPIRED: count})
