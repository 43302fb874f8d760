"""The names and ids that all events of a session have in common."""

from collections.abc import Mapping

from semloop.agent.events import check_names
from semloop.agent.fields import META_TYPES, Converter
from semloop.agent.foreign_code import catches
from semloop.agent.ids import new_id
from semloop.agent.notes import Notes
from semloop.agent.refusals import Refusals
from semloop.agent.scalars import NotTextError, id_text
from semloop.errors import EventRefused

IDS = ("session_id", "user_id", "namespace", "trace_id")
# Characters of a text of `meta` before the first event, such as the task.
TEXT_CHARS_MAX = 2**20


def usable_meta(
    meta: Mapping[str, object],
) -> tuple[dict[str, object], list[EventRefused]]:
    """Convert what all events of a session have in common.

    An id that is no scalar is replaced by a new one: its events are kept, but are not
    those of any other session, user or namespace.

    Returns:
        `meta` as an event has it; the problems with ids.
    """
    usable = dict(meta)
    problems = []
    for name in IDS:
        try:
            usable[name] = id_text(meta.get(name))
        except BaseException as error:
            if not catches(error):
                raise
            usable[name] = new_id()
            problems.append(_refusal(name, meta[name], error))
    usable["session_id"] = usable["session_id"] or new_id()
    usable["namespace"] = usable["namespace"] or "default"
    return Converter(Notes(), TEXT_CHARS_MAX).fields(usable, META_TYPES), problems


def checked_meta(
    agent: str, meta: Mapping[str, object], refusals: Refusals
) -> dict[str, object]:
    """Return `meta` with usable ids; report now what is wrong with it.

    Raises:
        EventRefused: the refusals are strict, and an argument is invalid.
    """
    usable, problems = usable_meta(meta)
    if not problems:
        try:
            check_names(agent, usable)
        except EventRefused as error:
            problems.append(error)
    if problems and refusals.strict:
        raise problems[0]
    for problem in problems:
        refusals.log_once(problem)
    return usable


def as_text(name: object) -> str:
    """Return the name of an agent; empty, which no event may have, if it is no text."""
    try:
        return id_text(name) or ""
    except BaseException as error:
        if not catches(error):
            raise
        return ""


def _refusal(name: str, value: object, error: BaseException) -> EventRefused:
    kind = type(value).__name__
    expected = "expected text or another scalar"
    if not isinstance(error, NotTextError):
        expected = f"{type(error).__name__} while it was read"
    msg = f"meta.{name}: {expected}, got an object of the type {kind}."
    return EventRefused(msg, "Pass text, a number or a UUID.")
