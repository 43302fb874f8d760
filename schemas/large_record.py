"""A record whose largest values were moved out of its row."""

from typing import NamedTuple

from semloop.artifacts import Column


class MovedValue(NamedTuple):
    """A value that was moved out of a record: its JSON, and where it was.

    `column`, `path`, `start` and `end` as in `semloop.artifacts.ArtifactReference`.
    """

    column: Column
    path: str
    content: bytes
    sha256: str
    start: int | None
    end: int | None


class LargeRecord(NamedTuple):
    """A record that is too large for a row, whole and with placeholders."""

    whole: bytes
    smaller: bytes
    values: tuple[MovedValue, ...]
