"""Private keys: PEM, PuTTY, and PEM in Base64. A marker without a key is no key."""

import base64
import binascii
import re
from collections.abc import Iterator

from semloop.redaction.finding import Finder, Found, Span, latin1, pattern_finder

BEGIN = latin1(r"-----BEGIN [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
END = re.compile(rb"-----END [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
# Lines of the body: Base64, and headers such as `Proc-Type: 4,ENCRYPTED`. In source, each
# may stand in quotes.
LINE = re.compile(
    rb"""[ \t]*(?:[#/*]+[ \t]*)?["'`+.]{0,2}(?:[A-Za-z0-9+/=]+|[A-Za-z\-]+: [^\r\n"'`]*)?"""
    rb"""["'`,;+\\ \t]*(?:\\n)?["'`,;+\\ \t]*(?:\r?\n|$)"""
)
BASE64_RUN = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")
BODY_BYTES_MAX = 32_768


def _pem(text: bytes) -> Iterator[Span]:
    at = 0
    while match := BEGIN.search(text, at):
        start, at = match.span()
        if end := END.search(text, at, at + BODY_BYTES_MAX):
            body, stop = text[at : end.start()], end.end()
        else:
            # A truncated block extends as far as its lines do.
            stop = _end_of_lines(text, at)
            body = text[at:stop]
        if BASE64_RUN.search(body):
            at = stop
            yield Span(start, stop, "private_key")


def _end_of_lines(text: bytes, at: int) -> int:
    first = True
    while at < len(text) and (line := LINE.match(text, at)):
        if line.end() == at or (not first and not line[0].strip()):
            break
        first = False
        at = line.end()
    return at


def _encoded_pem(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end]
    try:
        decoded = base64.b64decode(found[:120])
    except binascii.Error:
        return None
    return Found(found, len(found)) if b"PRIVATE KEY" in decoded else None


def _any(text: bytes, start: int, end: int) -> Found:
    return Found(text[start:end], end - start)


FINDERS = (
    Finder("PRIVATE KEY", _pem, "form of private_key"),
    pattern_finder(
        "private_key",
        "LS0tLS1CRUdJTi",
        r"(LS0tLS1CRUdJTi[A-Za-z0-9+/]{80,}={0,2})",
        _encoded_pem,
    ),
    # PuTTY's `.ppk`.
    pattern_finder(
        "private_key",
        "Private-Lines:",
        r"Private-Lines: [0-9]+\s+((?:[A-Za-z0-9+/=]{4,}\s+)*[A-Za-z0-9+/=]{16,}(?:\s+Private-MAC: [0-9a-f]+)?)",
        _any,
    ),
    # The private members of a JSON Web Key, in text.
    pattern_finder(
        "private_key",
        r'"(?:d|k|p|q|dp|dq|qi)\\*"\s*:\s*\\*"[\w\-]{20}',
        r'"(?:d|k|p|q|dp|dq|qi)"\s*:\s*"([\w\-]{20,})"',
        lambda text, start, end: _any(text, start, end) if b'"kty"' in text else None,
    ),
)
