"""The SQL of a merge: which rows it keeps, in which order, and what must not change.

Of a table whose rows are revisions, a merge keeps the newest of those in its files: the
row that the views show. What must not change is computed in another way than that;
of sums it is computed by the same query.
Of a table whose rows are sums, it adds up those with the same keys (`summed_rows.py`).
"""

from collections.abc import Iterable, Sequence

from semloop.table_declaration import Table
from sinks.compaction.summed_rows import summed_invariants, summed_rows

ORIGIN_ORDER = ("topic_id", "kafka_partition", "kafka_offset")
# Rows and values per partition, its last offset, and a checksum of its rows' origins.
ALL_ROWS = """
SELECT
    topic_id, kafka_partition, count(*) AS row_count, max(kafka_offset) AS last_offset,
    {counts},
    sum(hash(topic, kafka_offset, kafka_ts, ingested_at)::HUGEINT)::VARCHAR AS checksum
FROM rows GROUP BY topic_id, kafka_partition ORDER BY topic_id, kafka_partition
"""
# The same of a table whose rows come from no partition, with a checksum of all values.
ROWS_WITHOUT_ORIGIN = """
SELECT
    NULL AS topic_id, NULL AS kafka_partition, count(*) AS row_count,
    sum(hash({columns})::HUGEINT)::VARCHAR AS checksum
FROM rows
"""
# The same of the newest revisions; the checksum is one of all their values. Should two
# rows be the same revision, which no flow writes, both are kept.
NEWEST_ROWS = """
SELECT
    topic_id, kafka_partition, sum(row_count)::BIGINT AS row_count,
    max(last_offset) AS last_offset, sum(row_hash)::VARCHAR AS checksum
FROM (
    SELECT
        {keys}, max(last_offset) AS last_offset,
        arg_max(row_count, number) AS row_count, arg_max(row_hash, number) AS row_hash
    FROM (
        SELECT
            {keys}, coalesce(revision, -1) AS number, count(*) AS row_count,
            max(kafka_offset) AS last_offset,
            sum(hash({columns})::HUGEINT) AS row_hash
        FROM rows GROUP BY {keys}, number
    )
    GROUP BY {keys}
)
GROUP BY topic_id, kafka_partition ORDER BY topic_id, kafka_partition
"""


def invariants(table: Table, columns: Iterable[str], *, is_cold: bool) -> str:
    """Return SQL over `rows`: per partition what a merge of files must not change.

    Args:
        table: the table.
        columns: the columns of its files.
        is_cold: True for a merge of an old date, which rolls sums up.
    """
    if table.summed_by:
        return summed_invariants(table, rolled_up=is_cold)
    names = [name for name in columns if name != "date"]
    values = ", ".join(f'"{name}"' for name in names)
    if table.folded_by:
        keys = ", ".join(table.folded_by)
        return NEWEST_ROWS.format(keys=keys, columns=values)
    if "kafka_offset" not in table.columns:
        return ROWS_WITHOUT_ORIGIN.format(columns=values)
    counts = (f'count("{name}") AS "values of {name}"' for name in names)
    return ALL_ROWS.format(counts=", ".join(counts))


def merged_rows(
    table: Table,
    uris: Sequence[str],
    rows: str,
    *,
    is_sorted: bool,
    is_cold: bool = False,
) -> tuple[str, list[list[str]]]:
    """Return SQL for the rows of a merged file, sorted, and its parameters.

    Args:
        table: the table.
        uris: paths or URLs of the files.
        rows: SQL that reads them: `FileQueries.rows`.
        is_sorted: True if there is one file, whose rows stay in their order.
        is_cold: as for `invariants`.
    """
    # Origins make the order of rows independent of that of the files.
    order_by = [*table.compacted_by, *ORIGIN_ORDER]
    order = f"ORDER BY {', '.join(n for n in order_by if n in table.columns)}"
    if table.summed_by:
        summed = summed_rows(table, rows, rolled_up=is_cold)
        return f"{summed} {order}", [list(uris)]
    if not table.folded_by:
        return rows if is_sorted else f"{rows} {order}", [list(uris)]
    keys = ", ".join(table.folded_by)
    same = " AND ".join(
        f"revisions.{name} IS NOT DISTINCT FROM newest.{name}"
        for name in (*table.folded_by, "revision")
    )
    # Two scans: rows that are referred to twice would be held in memory.
    newest = f"SELECT {keys}, max(revision) AS revision {rows} GROUP BY {keys}"
    sql = f"FROM ({rows}) AS revisions SEMI JOIN ({newest}) AS newest ON {same} {order}"
    return sql, [list(uris), list(uris)]
