"""The texts of events, within a bound: of a long one, what matters most."""

import msgspec

from semloop.texts.readable import readable
from semloop.texts.shortened import one_line, shared, shortened

BEFORE_RESULT = " -> "
NULL = msgspec.Raw(b"null")


def within(text: str, chars: int) -> str:
    """Return a text; one over `chars` characters as a shortened line without data."""
    return text if len(text) <= chars else shortened(plain_line(text), chars)


def call_text(
    call: str, arguments: msgspec.Raw, result: msgspec.Raw, chars: int
) -> str:
    """Return the text of a call: `call arguments -> result`.

    If it is too long, arguments and result are shortened, each within its share, so
    that neither crowds out the other.

    Args:
        call: name and status.
        arguments: JSON of the arguments; empty or null if absent.
        result: JSON of the result; empty or null if absent.
        chars: maximum characters.
    """
    given = f" {readable(arguments)}" if _is_given(arguments) else ""
    returned = f"{BEFORE_RESULT}{readable(result)}" if _is_given(result) else ""
    if len(call) + len(given) + len(returned) > chars:
        call = call[:chars]
        given, returned = plain_line(given), plain_line(returned)
        given, returned = shared(given, returned, chars - len(call))
    return call + given + returned


def _is_given(value: msgspec.Raw) -> bool:
    return bool(value) and value != NULL


def plain_line(text: str) -> str:
    """Return a text in one line, with placeholders for its data."""
    # Its expressions take milliseconds to compile, and most agents send short texts.
    from semloop.texts.wordless import may_have_data, without_data

    return one_line(without_data(text) if may_have_data(text) else text)
