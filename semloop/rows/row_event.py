"""A row as an event, and back: nothing of the row is lost on the way."""

import hashlib
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from semloop.event import DEFAULT_NAMESPACE, ID_CHARS_MAX, NAME_CHARS_MAX
from semloop.rows.columns import Columns, value_of
from semloop.texts.roles import role_of
from semloop.texts.times import time_of

# Namespace of the ids of rows, which are version-5 UUIDs.
ROW_NAMESPACE = uuid.UUID("0c3d1f0a-5c0f-5a57-8c35-6d6a4b1f70b2")
# Further fields of the payload: the name of the store that the row is of, its columns
# except those that a field repeats exactly, and the names of these, by field.
STORE, SOURCE, COLUMNS = "store", "source", "columns"
# Fields that may be long, so that they are not stored twice.
_LONG = ("content", "arguments", "result")
# What a message without a role is: the store is the agent's own.
_OWN_ROLE = "assistant"
_FAILED = frozenset(
    {"error", "failed", "failure", "fail", "exception", "timeout", "false", "no", "0"}
)
_NO_ERROR = frozenset({"", "false", "no", "none", "null", "nan", "0", "ok"})
_YES = frozenset({"true", "yes", "1"})
_WHO = ("namespace", "user_id", "session_id")
_OUTCOMES = ("success", "partial", "failure")
# A number of an earlier time is a date without marks, such as 202611200900.
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder(order="sorted").encode

Row = Mapping[str, object]


class UnusableName(ValueError):
    """A column holds no name: its value is too long, or holds others."""

    def __init__(self, field: str, column: str) -> None:
        super().__init__(field)
        self.field, self.column = field, column


@dataclass(frozen=True, slots=True)
class RowEvent:
    """An event without envelope; `time` is the value of its column, if it has one."""

    id: str
    kind: str
    agent: str
    meta: dict[str, Any]
    payload: dict[str, Any]
    time: object = None


@dataclass(slots=True)
class RowEvents:
    """Makes events of the rows of one store, in their order, each with its own id.

    The id depends on store, agent, namespace, user, session and all columns of the row,
    and on how many equal rows came before it.

    Args:
        store: name of the store, such as that of its file; also the session of rows
            that name none.
        columns: the user's choice.
        agent: of rows that name none.
        namespace: likewise.
        user: likewise.
    """

    store: str
    columns: Columns
    agent: str
    namespace: str = DEFAULT_NAMESPACE
    user: str | None = None
    _seen: dict[bytes, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What marks the events of this store, and no others.

        A hash: redaction would replace a user's name in the payload.
        """
        names = [self.namespace, self.agent, self.user, self.store]
        return str(uuid.uuid5(ROW_NAMESPACE, _encode(names).decode()))

    def event_of(self, row: Row) -> RowEvent | None:
        """Return a row as an event; None if it has no content, tool or outcome.

        Raises:
            UnusableName: a column for a name holds none.
            TypeError, ValueError: a value cannot be written as JSON.
        """
        kind = self._kind(row)
        if kind is None:
            return None
        payload = {n: v for n, v in self._payload(kind, row).items() if v is not None}
        meta = {
            "session_id": self._name(row, "session", ID_CHARS_MAX) or self.store,
            "namespace": self._name(row, "namespace") or self.namespace,
            "user_id": self._name(row, "user", ID_CHARS_MAX) or self.user,
            "task": self._word(row, "task"),
            "credits_used": _number(self._value(row, "credits")),
        }
        agent = self._name(row, "agent") or self.agent
        repeated = self._repeated(kind, row, payload)
        payload[STORE] = self.key
        payload[COLUMNS] = repeated
        left = {n: v for n, v in row.items() if n not in repeated.values()}
        payload[SOURCE] = {n: v for n, v in left.items() if v not in (None, "")}
        return RowEvent(
            self._id(row, agent, meta), kind, agent,
            {n: v for n, v in meta.items() if v is not None},
            {n: v for n, v in payload.items() if v != {}},
            self._value(row, "time"),
        )  # fmt: skip

    def _kind(self, row: Row) -> str | None:
        outcome, reward = self._value(row, "outcome"), self._value(row, "reward")
        ends = outcome in _OUTCOMES or _number(reward) is not None
        has = {
            "tool_call": bool(self._word(row, "tool")),
            "message": self._value(row, "content") is not None,
            "completion": ends,
        }
        named = self._value(row, "type")
        if isinstance(named, str) and has.get(named):
            return named
        return next((kind for kind in has if has[kind]), None)

    def _payload(self, kind: str, row: Row) -> dict[str, Any]:
        if kind == "message":
            role = self._word(row, "role")
            return {
                "role": role_of(role)[0] if role else _OWN_ROLE,
                "content": text_of(self._value(row, "content")),
                "model": self._word(row, "model", NAME_CHARS_MAX),
                "input_tokens": _whole(self._value(row, "input_tokens")),
                "output_tokens": _whole(self._value(row, "output_tokens")),
            }
        if kind == "tool_call":
            error_type = self._word(row, "error", NAME_CHARS_MAX)
            is_named = error_type and error_type.lower() not in _NO_ERROR | _YES
            failed = self._failed(row)
            return {
                "tool": (self._word(row, "tool") or "")[:NAME_CHARS_MAX],
                "status": "error" if failed else "success",
                "error_type": error_type if failed and is_named else None,
                "arguments": _json_of(self._value(row, "arguments")),
                "result": _json_of(self._value(row, "result")),
                "duration_ms": _number(self._value(row, "duration_ms")),
            }
        reward = _number(self._value(row, "reward"))
        outcome = self._value(row, "outcome")
        if outcome not in _OUTCOMES:
            assert reward is not None
            outcome = _OUTCOMES[0] if reward >= 1 else _OUTCOMES[1 if reward > 0 else 2]
        return {"outcome": outcome, "reward": reward}

    def _failed(self, row: Row) -> bool:
        error, code = self._value(row, "error"), _number(self._value(row, "exit_code"))
        has_error = error is not None and str(error).lower() not in _NO_ERROR
        words = (self._value(row, name) for name in ("status", "success"))
        reported = any(str(word).lower() in _FAILED for word in words)
        return has_error or reported or code not in (None, 0.0)

    def _repeated(
        self, kind: str, row: Row, payload: Mapping[str, object]
    ) -> dict[str, str]:
        """Return the columns whose values the payload has exactly, by field."""
        found = {}
        for name in _LONG:
            column = self.columns.column(name, row)
            if column is None or column not in row or name not in payload:
                continue
            if payload[name] == row[column]:
                found[name] = column
        return found

    def _value(self, row: Row, name: str) -> object:
        column = self.columns.column(name, row)
        return None if column is None else value_of(row, column)

    def _word(self, row: Row, name: str, chars_max: int | None = None) -> str | None:
        value = self._value(row, name)
        if value is None or isinstance(value, (Mapping, list)):
            return None
        word = text_of(value)
        return None if chars_max and len(word) > chars_max else word

    def _name(self, row: Row, name: str, chars_max: int = NAME_CHARS_MAX) -> str | None:
        """Return a name; one that cannot be used must not become the default."""
        column = self.columns.column(name, row)
        if column is None:
            return None
        word = self._word(row, name, chars_max)
        if word is None:
            raise UnusableName(name, column)
        return word

    def _id(self, row: Row, agent: str, meta: Mapping[str, object]) -> str:
        who = [self.store, agent, *(meta[n] for n in _WHO)]
        cells = {n: v for n, v in row.items() if v not in (None, "")}
        digest = hashlib.sha256(_encode([*who, cells])).digest()
        count = self._seen.get(digest, 0)
        self._seen[digest] = count + 1
        return str(uuid.uuid5(ROW_NAMESPACE, f"{digest.hex()} {count}"))


def row_of(payload: Mapping[str, Any]) -> dict[str, object]:
    """Return the row that a payload of `RowEvents` is of, without empty columns."""
    repeated = payload.get(COLUMNS, {})
    row = {column: payload[name] for name, column in repeated.items()}
    return {**row, **payload.get(SOURCE, {})}


def row_time(value: object) -> datetime | None:
    """Return the time of a row, in UTC; None if it has none that can be read."""
    found = time_of(value)
    return found if found is None or found >= _EARLIEST else None


def text_of(value: object) -> str:
    """Return a value as text: JSON, unless it is one."""
    return value if isinstance(value, str) else _encode(value).decode()


def _json_of(value: object) -> object:
    """Return a value; text that is a JSON object or array becomes that."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return msgspec.json.decode(value)
        except (ValueError, RecursionError):
            return value
    return value


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _whole(value: object) -> int | None:
    found = _number(value)
    usable = found is not None and found.is_integer() and 0 <= found < 2**53
    return int(found) if usable and found is not None else None
