"""Conditions on memories: as text in Lance's SQL, or as a mask of rows in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np

from semloop.lake.recall.features import Features, Mask
from semloop.sql_text import quoted

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Rows(Protocol):
    """Memories in memory, as conditions see them."""

    @property
    def features(self) -> Features:
        """Their features."""

    def is_one_of(self, column: str, values: Sequence[str]) -> Mask:
        """Return which rows have one of these values; null is not one."""

    def is_null(self, column: str) -> Mask:
        """Return which rows have no value."""


class Filter(Protocol):
    """A condition; both forms select the same rows."""

    def sql(self) -> str:
        """Return the condition in Lance's SQL; an empty text is no condition."""

    def mask(self, rows: Rows) -> Mask:
        """Return which rows satisfy the condition."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """A text column has one of these values."""

    column: str
    values: tuple[str, ...]

    def sql(self) -> str:
        """Return the condition in Lance's SQL."""
        if not self.values:
            return "false"
        if len(self.values) == 1:
            return f"{self.column} = {quoted(self.values[0])}"
        return f"{self.column} IN ({', '.join(map(quoted, self.values))})"

    def mask(self, rows: Rows) -> Mask:
        """Return which rows satisfy the condition."""
        return rows.is_one_of(self.column, self.values)


@dataclass(frozen=True, slots=True)
class IsNull:
    """A text column has no value."""

    column: str

    def sql(self) -> str:
        """Return the condition in Lance's SQL."""
        return f"{self.column} IS NULL"

    def mask(self, rows: Rows) -> Mask:
        """Return which rows satisfy the condition."""
        return rows.is_null(self.column)


@dataclass(frozen=True, slots=True)
class Since:
    """A memory is of this time or later."""

    start: datetime

    def sql(self) -> str:
        """Return the condition in Lance's SQL."""
        return f"ts >= timestamp '{self.start.isoformat()}'"

    def mask(self, rows: Rows) -> Mask:
        """Return which rows satisfy the condition."""
        return np.asarray(rows.features.header["ts"] >= _microseconds(self.start))


@dataclass(frozen=True, slots=True)
class Until:
    """A memory is of an earlier time than this."""

    end: datetime

    def sql(self) -> str:
        """Return the condition in Lance's SQL."""
        return f"ts < timestamp '{self.end.isoformat()}'"

    def mask(self, rows: Rows) -> Mask:
        """Return which rows satisfy the condition."""
        return np.asarray(rows.features.header["ts"] < _microseconds(self.end))


@dataclass(frozen=True, slots=True)
class FirstPart:
    """A memory is the first part of its event.

    A long text has hundreds of parts, and those that match are found by the searches.
    """

    def sql(self) -> str:
        """Return the condition in Lance's SQL."""
        return "part = 0"

    def mask(self, rows: Rows) -> Mask:
        """Return which rows satisfy the condition."""
        return np.asarray(rows.features.header["part"] == 0)


@dataclass(frozen=True, slots=True)
class Every:
    """All of the conditions are satisfied; without any, every row is selected."""

    parts: tuple[Filter, ...] = ()

    def sql(self) -> str:
        """Return the condition in Lance's SQL."""
        return " AND ".join(text for part in self.parts if (text := part.sql()))

    def mask(self, rows: Rows) -> Mask:
        """Return which rows satisfy the condition."""
        found = np.ones(len(rows.features), bool)
        for part in self.parts:
            found &= part.mask(rows)
        return found


@dataclass(frozen=True, slots=True)
class Either:
    """One of two conditions is satisfied."""

    first: Filter
    second: Filter

    def sql(self) -> str:
        """Return the condition in Lance's SQL."""
        return f"(({self.first.sql()}) OR ({self.second.sql()}))"

    def mask(self, rows: Rows) -> Mask:
        """Return which rows satisfy the condition."""
        return self.first.mask(rows) | self.second.mask(rows)


def is_equal(column: str, value: str) -> OneOf:
    """Return the condition that a text column has a value."""
    return OneOf(column, (value,))


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND
