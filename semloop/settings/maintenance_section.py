"""Settings of the maintenance of tables: when it runs, and how long data is kept.

Names are unique across sections: a setting `x` of any section is `SEMLOOP_X`.
"""

from typing import Annotated

import msgspec

from semloop.settings.fields import Section, Share

Interval = Annotated[float, msgspec.Meta(ge=0)]
Days = Annotated[float, msgspec.Meta(ge=0)]
# Tables with a retention, and whether a namespace may have its own.
RETAINED = {
    "events": True,
    "episodes": True,
    "agent_metrics": True,
    "memories": True,
    "dead_letters": False,
}
# Tables whose old dates may be compressed hard.
COLD = ("events", "episodes", "dead_letters")
# Storage classes from which nothing can be read before it is restored.
OFFLINE_CLASSES = ("GLACIER", "DEEP_ARCHIVE")
# `archive` looks for repeated event ids among those of the last day.
DAYS_MIN = 2
# A query may read a version for hours, and a process may be frozen for half a day.
VACUUM_HOURS_MIN = 24


class MaintenanceSettings(Section, frozen=True):
    """When tables are maintained, and how long replaced files are kept."""

    compact_every_s: Interval = 60.0
    """Seconds between two runs of `maintain compact` by `semloop up`; 0: never. The
    files that it replaces stay on disk until a vacuum deletes them."""

    retention: Annotated[
        dict[str, Days],
        msgspec.Meta(examples=['{"events": 365, "events/test": 7}']),
    ] = msgspec.field(default_factory=dict)
    """Days for which rows are kept, by `TABLE` or `TABLE/NAMESPACE`; 0, or a table
    without an entry: indefinitely. Tables: `events`, `episodes`, `agent_metrics`,
    `memories` and `dead_letters`."""

    memories_max: Annotated[
        dict[str, Annotated[int, msgspec.Meta(ge=0)]],
        msgspec.Meta(examples=['{"test": 1000, "*": 100000}']),
    ] = msgspec.field(default_factory=dict)
    """Memories to keep, by namespace; `*`: in each namespace without an entry; 0, or no
    entry: all. `maintain retain` removes the least important ones, and of equally
    important ones the oldest; one without importance counts as 0.5."""

    memories_importance_min: Annotated[
        dict[str, Share], msgspec.Meta(examples=['{"test": 0.3}'])
    ] = msgspec.field(default_factory=dict)
    """Minimum importance of memories, by namespace; `*`: in those without an entry.
    Memories without importance are kept."""

    cold_after: Annotated[
        dict[str, Days], msgspec.Meta(examples=['{"events": 90}'])
    ] = msgspec.field(default_factory=dict)
    """Days after which the files of whole dates are compressed hard, by table; 0, or a
    table without an entry: never. Tables: `events`, `episodes` and `dead_letters`."""

    cold_compression: Annotated[int, msgspec.Meta(ge=1, le=22)] = 15
    """Level of zstd of such files; other files have 1 to 3."""

    cold_storage_class: Annotated[str, msgspec.Meta(pattern="^[A-Z_]*$")] = ""
    """Storage class of such files on S3, for example `STANDARD_IA`; it must be readable
    without a restore. Empty: that of the bucket."""

    rollup_after_days: Days = 1.0
    """Days after the end of a date at which `maintain compact` rolls up its metrics:
    the minutes of `agent_metrics` become days, and totals stay the same; 0: never."""

    retain_every_s: Interval = 86_400.0
    """Seconds between two runs of `maintain retain` by `semloop up`, the first of them
    at most ten minutes after the start; 0: never."""

    vacuum_every_s: Interval = 86_400.0
    """Seconds between two runs of `maintain vacuum` by `semloop up`, the first of them
    at most ten minutes after the start; 0: never."""

    vacuum_hours: Annotated[float, msgspec.Meta(ge=VACUUM_HOURS_MIN, le=8_760)] = 24.0
    """Hours after which a vacuum deletes files that were replaced, or that no version
    of a table has; a query must not take longer."""

    @property
    def expires(self) -> bool:
        """True if something is removed from tables."""
        limits = (self.retention, self.memories_max, self.memories_importance_min)
        return any(any(limit.values()) for limit in limits)

    def __post_init__(self) -> None:
        """Refuse a retention that names no table, or is too short, and cold dates."""
        for table, days in self.cold_after.items():
            if table not in COLD:
                msg = f"cold_after: `{table}` is not one of {', '.join(COLD)}"
                raise ValueError(msg)
            if 0 < days < DAYS_MIN:
                msg = f"cold_after: `{table}` must be 0 or at least {DAYS_MIN} days"
                raise ValueError(msg)
        if self.cold_storage_class in OFFLINE_CLASSES:
            name = self.cold_storage_class
            msg = f"cold_storage_class: objects in {name} must be restored to be read"
            raise ValueError(msg)
        for key, days in self.retention.items():
            table, separator, _ = key.partition("/")
            if table not in RETAINED:
                msg = f"retention: `{table}` is not one of {', '.join(RETAINED)}"
                raise ValueError(msg)
            if separator and not RETAINED[table]:
                msg = f"retention: rows of {table} have no namespace"
                raise ValueError(msg)
            if key == f"{table}/*":
                msg = f"retention: `{table}` is the entry of all other namespaces"
                raise ValueError(msg)
            if 0 < days < DAYS_MIN:
                msg = f"retention: `{key}` must be 0 or at least {DAYS_MIN} days"
                raise ValueError(msg)
