"""The declaration of one table of the lake: how its files are written and merged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# Columns with few distinct values; for others the Parquet writer would build a
# dictionary only to discard it.
_FEW_VALUES = frozenset(
    {
        "action", "agent", "agent_version", "duration_bucket", "error_type", "flow",
        "kafka_partition", "label", "minute", "model", "namespace", "outcome",
        "prompt_id", "prompt_version", "reason", "role", "run_id", "session_id",
        "status", "table_name", "task", "task_type", "tool", "topic", "topic_id",
        "type", "user_id",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table of the lake.

    Attributes:
        name: its folder in the lake.
        columns: column -> DuckDB type.
        partition_by: the partition columns.
        statistics: columns whose minimum and maximum per file are in the log. Only
            columns that are used to skip files: every log entry repeats the values.
        sort_by: columns by which the rows of a file are sorted.
        bloom_filters: columns with a Bloom filter in each file.
        compacted_by: columns by which compaction sorts the rows of a file; empty for a
            table that is not compacted.
        compacted_filters: columns with a Bloom filter in each compacted file.
        folded_by: columns that tell of what a row is a revision; a compacted file has
            only the newest `revision`. Empty for a table whose rows are all kept.
        summed_by: columns of which a compacted file has each combination once, with
            the sums of the others. Empty for a table whose rows are no sums.
        format: `delta`, or `lance` for the folder of a LanceDB database.
    """

    name: str
    columns: Mapping[str, str]
    partition_by: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    bloom_filters: tuple[str, ...] = ()
    compacted_by: tuple[str, ...] = ()
    compacted_filters: tuple[str, ...] = ()
    folded_by: tuple[str, ...] = ()
    summed_by: tuple[str, ...] = ()
    format: Literal["delta", "lance"] = "delta"

    @property
    def dictionaries(self) -> tuple[str, ...]:
        """The columns to encode with a dictionary."""
        return tuple(name for name in self.columns if name in _FEW_VALUES)

    @property
    def compacted_statistics(self) -> tuple[str, ...]:
        """The columns with bounds per row group in compacted files."""
        names = {*self.statistics, *self.compacted_by, "agent", "namespace", "type"}
        return tuple(name for name in self.columns if name in names)
