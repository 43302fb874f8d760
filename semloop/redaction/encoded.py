"""Private text in Base64: what it decodes to is searched, and all of it replaced."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator

from semloop.redaction.finding import Finder, Span, latin1

# A hash in hexadecimal digits has none of these letters.
GATE = r"[A-Za-z0-9+/]{16}[g-zG-Z+/][A-Za-z0-9+/]{16}"
RUN = latin1(r"([A-Za-z0-9+/]{33,}={0,2})")
# What is decoded of a run: more is an image, not a text. A multiple of four.
ENCODED_BYTES_MAX = 2**16
PROBE_BYTES = 64
NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def encoded_finder(find: Callable[[str], list[Span]]) -> Finder:
    """Return a finder of Base64 in which `find` finds something."""

    def spans(text: bytes) -> Iterator[Span]:
        at = 0
        while match := RUN.search(text, at):
            start, at = match.span(1)
            decoded = _decoded(match[1])
            if decoded and find(decoded):
                yield Span(start, at, "encoded", match[1])

    return Finder(GATE, spans, "private text in Base64")


def _decoded(run: bytes) -> str | None:
    """Return the text that a run encodes; None if it encodes no text."""
    if NO_TEXT.search(_bytes(run[:PROBE_BYTES])):
        return None
    decoded = _bytes(run[:ENCODED_BYTES_MAX])
    try:
        return None if NO_TEXT.search(decoded) else decoded.decode()
    except UnicodeDecodeError:
        return None


def _bytes(run: bytes) -> bytes:
    run = run.rstrip(b"=")
    try:
        return base64.b64decode(run + b"=" * (-len(run) % 4))
    except binascii.Error:
        return b"\0"
