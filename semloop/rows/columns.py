"""Which column of a row becomes which field of an event."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from semloop.errors import ConfigError

# Fields of an event that a column may give, and the columns that give them if the user
# says nothing, in the order of preference.
USUAL: dict[str, tuple[str, ...]] = {
    "agent": ("agent", "agent_name", "agent_id", "bot"),
    "session": ("session_id", "session", "conversation_id", "conversation",
                "thread_id"),
    "namespace": ("namespace",),
    "user": ("user_id", "user"),
    "task": ("task",),
    "time": ("timestamp", "time", "ts", "created_at", "created", "at", "when",
             "date", "datetime"),
    "type": ("event_type", "type"),
    "role": ("role", "speaker", "author", "sender"),
    "content": ("content", "text", "message", "body", "memory", "note"),
    "model": ("model",),
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "credits": ("credits_used", "credits"),
    "tool": ("tool", "tool_name"),
    "arguments": ("arguments", "args", "input"),
    "result": ("result", "output"),
    "status": ("status",),
    "success": ("success", "ok"),
    "error": ("error", "error_type", "is_error"),
    "exit_code": ("exit_code", "returncode"),
    "duration_ms": ("duration_ms",),
    "outcome": ("outcome",),
    "reward": ("reward",),
}  # fmt: skip
# Columns listed in one message.
LISTED_MAX = 20


@dataclass(frozen=True, slots=True)
class Columns:
    """The user's choice of columns, by field; `parse` reads it from the command line.

    A name with dots, such as `author.name`, is a value inside others, unless the row
    has a column of that whole name.
    """

    chosen: Mapping[str, str]

    def __post_init__(self) -> None:
        names = [*self.chosen, *self.chosen.values()]
        if not all(isinstance(name, str) and name for name in names):
            msg = "Columns are a mapping of fields to names of columns."
            raise ConfigError(msg, 'Give for example {"content": "text"}.')
        unknown = sorted(set(self.chosen) - set(USUAL))
        if unknown:
            msg = f"An event has no field {unknown[0]!r}."
            raise ConfigError(msg, f"Fields are: {', '.join(USUAL)}.")

    @classmethod
    def parse(cls, pairs: Iterable[str]) -> "Columns":
        """Return the columns of texts such as `content=text`.

        Raises:
            ConfigError: a text is no such pair, or names no field of an event.
        """
        chosen: dict[str, str] = {}
        for pair in pairs:
            name, equals, column = pair.partition("=")
            if not (equals and name.strip() and column.strip()):
                msg = f"--map needs FIELD=COLUMN, got {pair!r}."
                raise ConfigError(msg, "Give for example `--map content=text`.")
            if name.strip() in chosen:
                msg = f"--map names the field {name.strip()!r} twice."
                raise ConfigError(msg, "Give one column for each field.")
            chosen[name.strip()] = column.strip()
        return cls(chosen)

    def column(self, field: str, row: Mapping[str, object]) -> str | None:
        """Return the column of a row that gives a field, if it has one."""
        if field in self.chosen:
            name = self.chosen[field]
            return name if value_of(row, name) is not None else None
        taken = set(self.chosen.values())
        names = (n for n in USUAL[field] if n not in taken)
        return next((n for n in names if row.get(n) not in (None, "")), None)

    def check(self, names: Iterable[str], where: str) -> None:
        """Check that the chosen columns exist in a file with these columns.

        Args:
            names: of all its columns, without dots.
            where: what messages call the file.

        Raises:
            ConfigError: one does not exist.
        """
        known = list(dict.fromkeys(names))
        for column in self.chosen.values():
            if column not in known and column.partition(".")[0] not in known:
                listed = ", ".join(known[:LISTED_MAX])
                more = len(known) - LISTED_MAX
                msg = f"{where} has no column {column!r}."
                todo = f"Its columns are: {listed}{f' and {more} more' * (more > 0)}."
                raise ConfigError(msg, todo)

    def used(self, names: Iterable[str]) -> dict[str, str]:
        """Return the column of each field in a file that has these columns."""
        row = dict.fromkeys(names, "-")
        found = {field: self.column(field, row) for field in USUAL}
        found |= self.chosen
        return {field: column for field, column in found.items() if column}


def value_of(row: Mapping[str, object], column: str) -> object:
    """Return the value of a column; None if the row has none, or an empty one."""
    if column in row:
        value = row[column]
        return None if value == "" else value
    value = row
    for name in column.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return None if value == "" else value
