"""Classifies failed commits by the text of their error.

deltalake 1.6 raises `CommitFailedError` for several causes and plain `DeltaError` or
`OSError` for others; only the texts differ. tests/sinks/test_commit_failure.py causes
each of them in the real library and fails when a text changes.
"""

import re
from enum import Enum

import pyarrow as pa
from deltalake.exceptions import DeltaError, SchemaMismatchError


class CommitFailure(Enum):
    """What to do after a failed commit."""

    CONTENTION = "contention"
    """Other writers committed too often in between: retry on the same handle."""
    MOVED = "moved"
    """A newer version conflicts with this writer's commit: reopen, compare fences."""
    REFUSED = "refused"
    """The rows themselves cannot be stored: a retry does not help."""
    STORAGE = "storage"
    """Disk, network or server: reopen, compare fences, retry after a pause."""


_CONTENTION = re.compile(r"Failed to commit transaction: \d+\s*$")
_MOVED = (
    "Concurrent transaction failed",
    "deleted data this operation read",
    "Invalid table version",
    # By the entry of a vacuum, or of another program.
    "Metadata changed since last commit",
)
_REFUSED = (pa.ArrowException, SchemaMismatchError, OverflowError)

# Errors that the libraries raise when a commit fails; any other is a bug in SemLoop.
FAILURES = (DeltaError, OSError, pa.ArrowException, OverflowError)


def commit_failure(error: Exception) -> CommitFailure:
    """Classify an error from a commit."""
    text = str(error)
    if _CONTENTION.search(text):
        return CommitFailure.CONTENTION
    if any(words in text for words in _MOVED):
        return CommitFailure.MOVED
    # Before the Arrow classes: pyarrow's I/O errors are OSErrors too.
    if isinstance(error, OSError):
        return CommitFailure.STORAGE
    if isinstance(error, _REFUSED):
        return CommitFailure.REFUSED
    return CommitFailure.STORAGE
