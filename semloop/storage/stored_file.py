"""A file of a lake, as a listing shows it."""

from typing import NamedTuple


class StoredFile(NamedTuple):
    """A file or an object: its name in the lake, and when it was last changed.

    `changed_s`: Unix time by the clock of the store, or of the file system.
    """

    name: str
    bytes: int
    changed_s: float
