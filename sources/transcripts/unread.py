"""Fields that have no place in an event: kept in its payload, or counted by name.

They do not enter the ids of events, so that a version that reads more of them imports
nothing twice.
"""

from collections.abc import Iterable, Mapping

from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Draft, merged
from sources.transcripts.ledger import Ledger
from sources.transcripts.parts import text_of, without_data

# Names of ids and kinds, which say how an object is found and read, in all formats.
STRUCTURAL = frozenset(["type", "id", "object", "index"])
# A name of a field in a reason; the names of a transcript may be content themselves.
NAME_CHARS_MAX = 40
# Different fields that are counted by their names; an object may have any.
NAMES_MAX = 200
_EMPTY: tuple[object, ...] = (None, "", [], {}, False)


def unread(fields: Mapping[str, object], known: Iterable[str]) -> dict[str, object]:
    """Return the fields that hold something, but for those of known names."""
    names = {*known, *STRUCTURAL}
    return {
        name: value
        for name, value in fields.items()
        if name not in names and value not in _EMPTY
    }


def taken(fields: Mapping[str, object], names: Iterable[str]) -> str:
    """Return the first of these names that has a value, which a reader takes."""
    return next((name for name in names if fields.get(name) is not None), "")


def unread_parts(value: object) -> list[object]:
    """Return what the text parts of a list hold next to their texts."""
    found: list[object] = []
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, dict) and text_of(part) is not None and (
            rest := unread_text(part)
        ):  # fmt: skip
            found.append(rest)
    return found


def unread_text(part: Mapping[str, object]) -> dict[str, object]:
    """Return what a text part holds next to its text: citations, annotations."""
    name = "content" if part.get("text") is None else "text"
    rest = unread(part, [name])
    if isinstance(inner := part.get(name), dict):
        rest |= unread(inner, ["value"])
    return rest


def keep(draft: Draft, rest: Mapping[str, object]) -> None:
    """Keep fields in the payload of an event, under `source`."""
    if rest:
        found = without_data(dict(rest)).value
        assert isinstance(found, dict)
        draft.more = merged(draft.more or {}, found)


def keep_parts(draft: Draft, rests: list[object]) -> None:
    """Keep what parts of a content hold next to their texts."""
    if rests:
        before = (draft.more or {}).get("parts")
        known = before if isinstance(before, list) else []
        draft.more = {
            **(draft.more or {}),
            "parts": [*known, *(without_data(rest).value for rest in rests)],
        }


def keep_in_first(
    talk: Conversation, before: int, rest: Mapping[str, object], kind: str
) -> None:
    """Keep fields in the first event since `before` events; count them without one."""
    if not rest:
        return
    if len(talk.drafts) > before:
        keep(talk.drafts[before], rest)
    else:
        leave_out(talk.ledger, rest, kind)


def leave_out(ledger: Ledger, rest: Mapping[str, object], kind: str) -> None:
    """Count fields by their names; `kind` says of what object they are."""
    for name in rest:
        ledger.met += 1
        reason = f"`{name[:NAME_CHARS_MAX]}` of a {kind}"
        if ("field", reason) not in ledger.left_out and (
            len(ledger.left_out) >= NAMES_MAX
        ):
            reason = f"of a {kind}, of any other name"
        ledger.leave_out("field", reason)
