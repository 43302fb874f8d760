"""Runs a step on the newest version of the table of memories.

Maintenance removes versions that are older than `VERSION_RETENTION`. A process that was
suspended for longer, or a host that slept, wakes up in a version whose files are gone:
LanceDB then refuses to read and to commit, and the step begins again.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from semloop.storage.errors import LANCE_ERRORS, is_missing

if TYPE_CHECKING:
    from lancedb.table import Table

R = TypeVar("R")
# A process that is suspended in each attempt gives up in the end.
ATTEMPTS = 10


def on_newest_version(table: "Table", step: Callable[[], R]) -> R:
    """Run a step; again if a file is missing that a newer version does not need.

    Args:
        table: the table that the step uses.
        step: may be repeated; commits at its end or not at all.

    Raises:
        OSError, RuntimeError, ValueError: of the step, or the table was removed.
    """
    newest = None
    for _ in range(ATTEMPTS - 1):
        try:
            return step()
        except (*LANCE_ERRORS, OSError) as error:
            if not is_missing(error):
                raise
            table.checkout_latest()  # type: ignore[no-untyped-call]
            if newest == (newest := table.version):
                raise  # The newest version itself lacks the file.
    return step()
