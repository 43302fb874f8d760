"""What the steps of the flow `retain` pass on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from schemas.batches import DataFile
from schemas.compaction import MergedFile

# Condition of an `ExpiredDate` of which all rows have expired.
ALL = "true"
# In settings by namespace: every one without an entry of its own.
OTHERS = "*"


@dataclass(frozen=True, slots=True)
class Expiry:
    """How the expired rows of a date leave the table.

    `removed`: files that have some of them. `added`: files with their other rows.
    `rows`: how many rows go. `bytes`: what they take in files, an estimate if nothing
    is written. `held`: why nothing may go yet; empty if it may. `expired`: app id ->
    last offset of the rows that go, for a table whose readers must know.
    """

    table: str
    date: date
    removed: tuple[DataFile, ...] = ()
    added: tuple[MergedFile, ...] = ()
    rows: int = 0
    bytes: int = 0
    held: str = ""
    expired: Mapping[str, int] = field(default_factory=dict)
