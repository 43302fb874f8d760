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
from schemas.retention import OTHERS
from semloop.settings.maintenance_section import MaintenanceSettings
from semloop.sql_text import quoted

TABLE = "memories"
EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a memory of a namespace has expired.

    Attributes:
        start: it is of a record before this moment; None: no matter how old it is.
        importance_min: it has an importance, and less than this.
    """

    start: datetime | None = None
    importance_min: float = 0.0

    @property
    def sql(self) -> str:
        """The condition in Lance's SQL."""
        parts = [f"importance < {self.importance_min!r}"]
        if self.start is not None:
            parts.append(f"kafka_ts < timestamp '{self.start.isoformat()}'")
        return f"({' OR '.join(f'coalesce({part}, false)' for part in parts)})"

    def mask(self, memories: pa.Table) -> pa.Array:
        """Return which memories have expired."""
        found = pc.less(memories["importance"], self.importance_min)
        found = pc.fill_null(found, False)
        if self.start is None:
            return found
        start = pa.scalar(self.start, memories.schema.field("kafka_ts").type)
        is_old = pc.fill_null(pc.less(memories["kafka_ts"], start), False)
        return pc.or_(found, is_old)


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
        if self.is_empty:
            return "false"
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


def memory_expiry(settings: MaintenanceSettings, today: date | None) -> MemoryExpiry:
    """Return which memories have expired on a date.

    Args:
        settings: the days of `memories`, and of its namespaces; 0: indefinitely; and
            the importance that memories must have.
        today: the present date; None if it is unknown: none is too old.
    """
    prefix, important = f"{TABLE}/", settings.memories_importance_min
    days = {
        key.removeprefix(prefix): days
        for key, days in settings.retention.items()
        if key.startswith(prefix)
    }
    days_of_others = settings.retention.get(TABLE, 0.0)

    def limits(namespace: str) -> Limits:
        start = _start(days.get(namespace, days_of_others), today)
        return Limits(start, important.get(namespace, important.get(OTHERS, 0.0)))

    own = sorted({*days, *important} - {OTHERS})
    return MemoryExpiry(limits(OTHERS), {name: limits(name) for name in own})


def _start(days: float, today: date | None) -> datetime | None:
    """Return the first moment that is kept; None if all are."""
    # Kafka has no earlier times than 1970, and Lance few.
    if today is None or not 0 < days < (today - date(1970, 1, 1)).days:
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
        today: as of `memory_expiry`.
    """
    if not chunked.memories.num_rows:
        return chunked
    expiry = memory_expiry(settings, today)
    if expiry.is_empty:
        return chunked
    kept = chunked.memories.filter(pc.invert(expiry.mask(chunked.memories)))
    if not (count := chunked.memories.num_rows - kept.num_rows):
        return chunked
    return replace(chunked, memories=kept, skipped={**chunked.skipped, EXPIRED: count})
