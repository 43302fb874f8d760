"""Replaces private content by pseudonyms, in text and in valid or invalid JSON.

All other bytes stay the producer's.
"""

import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import re2

from semloop.errors import ConfigError
from semloop.redaction.choice import STANDARD, Choice
from semloop.redaction.encoded import encoded_finder
from semloop.redaction.finders import built_in_finders
from semloop.redaction.finding import Span, latin1, merged
from semloop.redaction.json_search import JsonSearch, Part
from semloop.redaction.key_names import NameTable
from semloop.redaction.text_search import OwnPattern, TextSearch
from semloop.redaction.views import FOREIGN_WORDS
from semloop.settings import Secret

HASH_CHARS = 12
# With these a pattern depends on the end of its text, which is unknown in raw bytes.
ANCHOR = re.compile(r"(?<!\[)\^|\$|\\[Az]")
PATTERN_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Letter, NULs, letter: UTF-16 or UTF-32, in which no pattern would match.
WIDE = re.compile(rb"[ -~]\x00++[ -~]")
# The beginnings of compressed bytes, in which no pattern would match either.
COMPRESSED_GATE = r"\x1f\x8b|\x28\xb5\x2f\xfd|\xfd7zXZ|BZh[1-9]1AY|PK\x03\x04"
COMPRESSED = re.compile(COMPRESSED_GATE.encode())
# Escapes of ASCII, NULs, and Unicode's spaces, hyphens and full-width forms may hide
# what the other gates search for.
HIDING_GATE = (
    r"\\u00[02-7aA]|\\x[2-7]|\x00|\xc2[\xa0\xad]|\xe2\x80[\x80-\x95\xaf]|\xef\xbc"
    r"|\\u(?:20[01]|ff)"
)


class Replacement(NamedTuple):
    """A private part of a text, what replaces it, and the rule that found it."""

    start: int
    end: int
    pseudonym: str
    rule: str


class Redactor:
    """Replaces private content by pseudonyms `<class:12 hex digits>`.

    Equal content has equal pseudonyms under one key, so redacted data can be joined.
    Redaction is idempotent. A record without a match of `gates`, RE2 expressions on
    raw bytes, contains no private content.
    """

    def __init__(
        self,
        key: Secret,
        keys: Sequence[str] = (),
        patterns: Mapping[str, str] = {},
        choice: Choice = STANDARD,
    ) -> None:
        """Add `keys` and `patterns` of the settings to the built-in ones.

        Raises:
            ConfigError: a pattern that RE2 does not compile, an invalid name or country.
        """
        self._secret = key
        self._choice = choice
        self._names = NameTable(keys, choice.level)
        built_in = built_in_finders(self._names, choice)
        own = [_own_pattern(name, pattern) for name, pattern in patterns.items()]
        # What Base64 encodes is searched once, not what that encodes.
        built_in.append(encoded_finder(TextSearch(built_in, own).find))
        self._text = TextSearch(built_in, own)
        cards = choice.level != "keys"
        self._json = JsonSearch(self._names, self._text, cards=cards)
        hiding = [HIDING_GATE, COMPRESSED_GATE, *map(_foreign_gate, FOREIGN_WORDS)]
        gate = "|".join([*hiding, *(_raw_gate(f.gate) for f in built_in)])
        self.gates = [latin1(gate, capture=False), *_own_gates(patterns.values())]

    def text(self, text: str, key: str = "") -> str:
        """Redact a text; return the same object if it has no private content.

        `key` is the name whose value the text is, such as the name of a Kafka header.
        """
        name = self._names.of(key) if key and "<" not in key else None
        return self._replaced(text, self._allowed(text, self._json.value(text, name)))

    def json(self, raw: bytes) -> bytes:
        """Redact a record; return the same object if it has no private content.

        Valid JSON stays valid and keeps every other byte. Anything else is redacted as
        text, its escapes decoded. UTF-16 and compressed bytes are replaced as a whole.
        """
        if COMPRESSED.match(raw) or (b"\0" in raw and WIDE.search(raw)):
            # Invalid UTF-8 stays invalid, so that the record is rejected for that reason.
            broken = b"" if _is_utf8(raw) else b"\xff"
            return broken + self._pseudonym("binary", raw).encode()
        text = raw.decode("utf-8", "surrogateescape")
        cleaned = self._replaced(text, self._parts(raw, text))
        return raw if cleaned is text else cleaned.encode("utf-8", "surrogateescape")

    def explain(self, text: str) -> list[Replacement]:
        """Return what `json` or `text` would replace, in the order of the text."""
        parts = self._parts(text.encode("utf-8", "surrogatepass"), text)
        return [
            Replacement(
                *span[:2], self._pseudonym(span.name, _normal(text, span)), span.rule
            )
            for span in merged(part.span for part in parts)
        ]

    def _parts(self, raw: bytes, text: str) -> list[Part]:
        if _is_json(raw):
            return self._allowed(text, self._json.find(text))
        return self._allowed(text, [Part(span) for span in self._text.find(text)])

    def _allowed(self, text: str, parts: list[Part]) -> list[Part]:
        """Return the parts without those that the settings let stay."""
        if not self._choice.allow:
            return parts
        return [
            p for p in parts if not self._choice.allows(text[p.span.start : p.span.end])
        ]

    def _replaced(self, text: str, parts: Sequence[Part]) -> str:
        """Return the text with pseudonyms; the same object if there are no parts."""
        if not parts:
            return text
        bare = {part.span.start: part.depth for part in parts if part.bare}
        pieces, done = [], 0
        for span in merged(part.span for part in parts):
            pseudonym = self._pseudonym(span.name, _normal(text, span))
            if span.start in bare:
                pseudonym = _quoted(pseudonym, bare[span.start])
            pieces += [text[done : span.start], pseudonym]
            done = span.end
        return "".join([*pieces, text[done:]])

    def _pseudonym(self, name: str, value: bytes) -> str:
        message = name.encode() + b"\0" + value
        digest = hmac.digest(self._secret.reveal().encode(), message, "sha256")
        return f"<{name}:{digest.hex()[:HASH_CHARS]}>"


def _normal(text: str, span: Span) -> bytes:
    if span.normal is not None:
        return span.normal
    return text[span.start : span.end].encode("utf-8", "surrogatepass")


def _quoted(pseudonym: str, depth: int) -> str:
    """Return a JSON string, in JSON strings of a depth."""
    quoted = json.dumps(pseudonym)
    for _ in range(depth):
        quoted = json.dumps(quoted)[1:-1]
    return quoted


def _raw_gate(gate: str) -> str:
    """Return the gate for raw JSON, where letters beyond ASCII are bytes or escapes."""
    return gate.replace("\xff", r"(?:[\x80-\xff]{2,3}|\\+u[0-9A-Fa-f]{4})")


def _foreign_gate(word: str) -> str:
    """Return the gate for a word without ASCII letters."""
    raw = (w.encode().decode("latin-1") for w in {word, word.title()})
    # The first letter may be a capital one.
    escaped = (rf"\\+u(?i:{ord(letter):04x})" for letter in word[1:])
    return "|".join([*raw, "".join(escaped)])


def _own_pattern(name: str, pattern: str) -> OwnPattern:
    if not PATTERN_NAME.fullmatch(name):
        msg = f"The name of the redaction pattern {name!r} is not valid."
        raise ConfigError(
            msg, "Use lower-case letters, digits and _, starting with a letter."
        )
    options = re2.Options()
    options.log_errors = False
    try:
        return OwnPattern(name, re2.compile(pattern.encode(), options))
    except (re2.error, UnicodeEncodeError):
        msg = f"The redaction pattern {name!r} is not a regular expression of RE2."
        todo = "Correct it; RE2 has no look-around and no back-references."
        raise ConfigError(msg, todo) from None


def _own_gates(patterns: Iterable[str]) -> list[Any]:
    if any(ANCHOR.search(pattern) for pattern in patterns):
        return [re2.compile(b"")]
    # An escape sequence may encode any character.
    return [re2.compile(f"{pattern}|\\\\".encode()) for pattern in patterns]


def _is_json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
