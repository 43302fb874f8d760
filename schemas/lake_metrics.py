"""The metrics of the lake itself: its tables, its disk and its maintenance.

Flows measure them once a minute, from what they have open.
"""

from semloop.metric_declaration import Metric

LAKE = (
    Metric(
        "semloop_table_bytes", "gauge", "bytes", ("flow", "table"),
        "Size of the files of the table's newest version, measured once a minute. "
        "Without replaced files, which a vacuum deletes, and artifacts.",
        "Growing faster than planned: set `retention`, or send less.",
    ),
    Metric(
        "semloop_table_files", "gauge", "files", ("flow", "table"),
        "Files of the table's newest version; of `memories`, its fragments.",
        "See small files.",
    ),
    Metric(
        "semloop_table_small_files", "gauge", "files", ("flow", "table"),
        "Files that maintenance can merge: those under 64 MiB of a date with several "
        "of them; of `memories`, fragments of under 100,000 rows.",
        "Growing for an hour: `maintain compact` or `maintain index` does not run.",
    ),
    Metric(
        "semloop_disk_used_ratio", "gauge", "ratio", ("flow",),
        "Used share of the disk with the lake; absent for a lake on S3.",
        "Over 0.8: set `retention`, run `maintain vacuum`, or move the lake.",
    ),
    Metric(
        "semloop_maintenance_age_seconds", "gauge", "seconds", ("flow",),
        "Time since a run of a scheduled flow last ended without an error, as the flow "
        "`archive` reads it; absent if none has.",
        "Over three intervals: run `semloop maintain` by hand and read its error.",
    ),
    Metric(
        "semloop_maintenance_interval_seconds", "gauge", "seconds", ("flow",),
        "How often a scheduled flow should run, by its setting; absent if never.",
        "Compare it with the age.",
    ),
    Metric(
        "semloop_maintenance_unfinished_seconds", "gauge", "seconds", ("flow",),
        "Time since the last sign of life of a run of a scheduled flow that has not "
        "ended: it works, or failed; 0 if the last run has ended.",
        "Over an hour: it failed; run it by hand and read its error.",
    ),
)  # fmt: skip
