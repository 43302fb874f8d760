"""Values after key names in plain text: `dob: 1990-04-05`, `?token=x`.

For text that is not JSON: prose, headers, Python's `repr`, query strings, and JSON that
is truncated or quoted any number of times.
"""

import re
from collections.abc import Iterator

from semloop.redaction import pii_patterns as pii
from semloop.redaction.key_names import (
    DIGIT_CLASSES,
    LINE_CLASSES,
    NUMBER_KEYS,
    KeyNames,
)

# Search limits for a digit and a closing quote: without them a sequence of keys without
# values would take quadratic time.
NUMBER_BYTES_MAX = 64
QUOTED_BYTES_MAX = 2**16
# `date of birth: `, `"dob": `, `\"dob\" = `, `**DOB:** `: at most four words.
KEY_IN_TEXT = (
    r"(?:\\[bfnrt])?([A-Za-z][\w.\-]*(?: [A-Za-z][\w\-]*){0,3})"
    r"""[*]{0,3}\\*["'`]?[* \t]{0,4}(?::|={1,3}>?)[* \t]{0,4}"""
)
QUOTE = re.compile(rb"""(\\*)(["'`])""")
BARE_VALUES = (
    # A word, optionally after the scheme of an `Authorization`.
    re.compile(
        rb"\(?(?:(?:bearer|basic|digest|token)[ \t]+)?"
        rb"""(?:[^\s"'`,;&<>(){}\[\]\\]|\\[^\s"'`\\/bfnrtu])++""",
        re.IGNORECASE,
    ),
    # Numbers in groups: phone, card; IBAN.
    re.compile(rb"[+(]?[0-9](?:[ ().\-/]{0,2}[0-9])*+"),
    re.compile(rb"[A-Za-z]{2}[0-9]{2}(?: [0-9A-Za-z]{4}){2,7}(?: [0-9A-Za-z]{1,3}\b)?"),
    # `5 April 1990`, `April 5th, 1990`.
    re.compile(
        rb"(?:[0-9]{1,2}(?:st|nd|rd|th)? [A-Za-z]{3,9}\.?"
        rb"|[A-Za-z]{3,9}\.? [0-9]{1,2}(?:st|nd|rd|th)?),? [0-9]{4}"
    ),
)
LINE_VALUE = re.compile(rb"""[^\r\n"'\\<>]++""")
# A scalar within brackets; if a colon follows, it is a key.
LEAF = re.compile(rb"""[^\s"'`,:{}\[\]\\]++""")
KEY_FOLLOWS = re.compile(rb"""\\*+["'`]?\s*+:""")
DIGIT = re.compile(rb"[0-9]")
BRACKET = re.compile(rb"[\[\]{}]")
NUMBER_CLASSES = frozenset(name.replace(" ", "_") for name in NUMBER_KEYS)
NOT_VALUES = (b"", b"null", b"none", b"true", b"false", b"nil", b"undefined")


def key_finder(keys: KeyNames) -> pii.Finder:
    """Return a finder of values after key names in text."""
    regex = pii.latin1(KEY_IN_TEXT)

    def find(text: bytes) -> Iterator[pii.Span]:
        at = 0
        while match := regex.search(text, at):
            at = match.end()
            if name := keys.heading(match[1]):
                spans, at = _values(text, at, name)
                for start, end in spans:
                    value = normal_form(name, text[start:end])
                    yield pii.Span(start, end, name, value)

    return find


def _values(text: bytes, at: int, name: str) -> tuple[list[tuple[int, int]], int]:
    """Return the spans of the values after a key, and where to continue."""
    if text.startswith((b"[", b"{"), at):
        end = _closing_bracket(text, at)
        leaves = LEAF.finditer(text, at, end)
        return [
            leaf.span()
            for leaf in leaves
            if leaf[0].lower() not in NOT_VALUES
            and not KEY_FOLLOWS.match(text, leaf.end())
        ], end
    if text.startswith((b":", b"//"), at):  # `token::parse`, `token://`
        return [], at
    numeric = name in NUMBER_CLASSES
    if numeric and not DIGIT.search(text, at, at + NUMBER_BYTES_MAX):
        return [], at
    start, end = _scalar(text, at, name)
    value = text[start:end].strip().lower()
    if value in NOT_VALUES or (numeric and not DIGIT.search(value)):
        return [], at
    return [(start, end)], end


def _scalar(text: bytes, at: int, name: str) -> tuple[int, int]:
    if quote := QUOTE.match(text, at):
        start = quote.end()
        return start, _closing_quote(text, start, quote[2], len(quote[1]))
    patterns = (LINE_VALUE,) if name in LINE_CLASSES else BARE_VALUES
    matches = (pattern.match(text, at) for pattern in patterns)
    end = max((match.end() for match in matches if match), default=at)
    return at, at + len(text[at:end].rstrip(b" .!?*:"))


def _closing_quote(text: bytes, start: int, quote: bytes, depth: int) -> int:
    """Return the end of a value in quotes that are escaped by `depth` backslashes.

    Deeper quotes belong to the value. Without a closing quote, the value ends with the
    line.
    """
    end = text.find(quote, start, start + QUOTED_BYTES_MAX)
    while end >= 0:
        before = text[max(start, end - depth - 1) : end]
        backslashes = len(before) - len(before.rstrip(b"\\"))
        if backslashes <= depth:
            return end - backslashes
        end = text.find(quote, end + 1, start + QUOTED_BYTES_MAX)
    line = text.find(b"\n", start)
    return line if line >= 0 else len(text)


def _closing_bracket(text: bytes, at: int) -> int:
    depth = 0
    for bracket in BRACKET.finditer(text, at):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth == 0:
            return bracket.end()
    return len(text)


def normal_form(name: str, value: bytes) -> bytes:
    """Normalize a value, so that equal values of a class get equal pseudonyms."""
    if name in DIGIT_CLASSES:
        return pii.digits_only(value) or value.strip()
    if name == "iban":
        return value.replace(b" ", b"").upper()
    return value.strip()
