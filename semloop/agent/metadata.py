"""Values of an application's own, stored in the field `metadata` of its events.

The archive stores that field, like all that it does not know, in the column `extra`. No
name in it can collide with a field of an event.
"""

from collections.abc import Mapping

from semloop.agent.foreign_code import catches
from semloop.agent.notes import Notes
from semloop.agent.values import to_plain

Metadata = Mapping[str, object] | None
FIELD = "metadata"
# Name of metadata that is not a mapping.
UNNAMED = "value"
# Characters of a text: metadata is stored in the row of its event.
TEXT_CHARS_MAX = 2**16


def fields_of(metadata: object) -> dict[str, object]:
    """Return metadata as JSON has it; a copy, so later changes have no effect."""
    if metadata is None:
        return {}
    try:
        plain = to_plain(metadata, FIELD, Notes(), TEXT_CHARS_MAX)
    except BaseException as error:
        if not catches(error):
            raise
        plain = f"<{type(error).__name__}>"
    return plain if isinstance(plain, dict) else {UNNAMED: plain}


def merged(of_session: Metadata, of_event: object) -> Metadata:
    """Return the metadata of an event; its own values replace those of its session."""
    if of_event is None:
        return of_session
    own = of_event
    if type(own) is not dict or not all(type(name) is str for name in list(own)):
        own = fields_of(own)
    return {**(of_session or {}), **own}
