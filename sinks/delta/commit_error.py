"""What a failed commit means, told from its text.

deltalake 1.6 raises `CommitFailedError` for several causes and plain `DeltaError` or
`OSError` for others; only the texts differ. tests/sinks/test_commit_failure.py brings
each of them about with the real library and fails when a text changes.
"""

import re
from enum import Enum

import pyarrow as pa
from deltalake.exceptions import DeltaError, SchemaMismatchError


class CommitFailure(Enum):
    """What to do after a failed commit."""

    CONTENTION = "contention"
    """Others committed in between, too often: try again on the same handle."""
    MOVED = "moved"
    """The table moved on in a way that concerns this writer: reopen, look at fences."""
    REFUSED = "refused"
    """The rows themselves cannot be stored: trying again changes nothing."""
    STORAGE = "storage"
    """Disk, network or server: reopen, look at fences, try again after a pause."""


_CONTENTION = re.compile(r"Failed to commit transaction: \d+\s*$")
_MOVED = (
    "Concurrent transaction failed",
    "deleted data this operation read",
    "Invalid table version",
)
_REFUSED = (pa.ArrowException, SchemaMismatchError, OverflowError)

# What the libraries raise when a commit fails; anything else is a mistake of ours.
FAILURES = (DeltaError, OSError, pa.ArrowException, OverflowError)


def commit_failure(error: Exception) -> CommitFailure:
    """The meaning of an error that `write_deltalake` raised."""
    text = str(error)
    if _CONTENTION.search(text):
        return CommitFailure.CONTENTION
    if any(words in text for words in _MOVED):
        return CommitFailure.MOVED
    if isinstance(error, OSError):  # pyarrow's ArrowIOError is one: not the data
        return CommitFailure.STORAGE
    if isinstance(error, _REFUSED):
        return CommitFailure.REFUSED
    return CommitFailure.STORAGE
