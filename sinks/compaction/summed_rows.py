"""The SQL of a merge of sums: rows with the same keys become one.

Of an old date the minutes are rolled up: they become the first ones of their days, UTC.
Sums of integers and decimals are exact, so totals stay the same.
"""

from semloop.table_declaration import Table
from semloop.tables import ORIGIN, STAMP

# NOTE: `date_trunc` would depend on the time zone of the connection.
DAY = "make_timestamptz(epoch_us(minute) // 86400000000 * 86400000000)"
SUMMED = "SELECT {keys}, {values} {rows} GROUP BY ALL"
# Per partition: the keys, the totals, and a checksum of the sums of each key.
INVARIANTS = """
SELECT
    topic_id, kafka_partition, count(*) AS row_count,
    max(kafka_offset) AS last_offset, {totals},
    sum(hash(*COLUMNS(*))::HUGEINT)::VARCHAR AS checksum
FROM ({summed}) AS summed
GROUP BY topic_id, kafka_partition ORDER BY topic_id, kafka_partition
"""


def summed_rows(table: Table, rows: str, *, rolled_up: bool) -> str:
    """Return SQL for the rows of a merge, each combination of keys once.

    Args:
        table: a table with `summed_by`.
        rows: SQL that reads the files.
        rolled_up: True if minutes become days.
    """
    keys = (
        f"{DAY} AS minute" if rolled_up and name == "minute" else name
        for name in table.summed_by
    )
    # The type of a sum is wider than that of the column.
    values = [f"sum({name})::{table.columns[name]} AS {name}" for name in _sums(table)]
    values += [f"max({name}) AS {name}" for name in _newest(table)]
    return SUMMED.format(keys=", ".join(keys), values=", ".join(values), rows=rows)


def summed_invariants(table: Table, *, rolled_up: bool) -> str:
    """Return SQL over `rows`: per partition what such a merge must not change."""
    totals = (f'sum({name})::VARCHAR AS "total of {name}"' for name in _sums(table))
    summed = summed_rows(table, "FROM rows", rolled_up=rolled_up)
    return INVARIANTS.format(totals=", ".join(totals), summed=summed)


def _sums(table: Table) -> list[str]:
    others = {*table.summed_by, *ORIGIN, *STAMP}
    return [name for name in table.columns if name not in others]


def _newest(table: Table) -> list[str]:
    """Return the columns of which a row has the value of the last event."""
    last = (*ORIGIN, *STAMP)
    return [n for n in last if n not in table.summed_by and n not in table.partition_by]
