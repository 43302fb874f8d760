"""Replaces private content by pseudonyms, in text and in valid or invalid JSON.

A record is not parsed and re-encoded: its tokens are scanned and only private ones are
replaced, so that all other bytes stay the producer's, including duplicate keys.
Internally text is bytes; a lone surrogate is the three bytes of "surrogatepass".
"""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import re2

from semloop.errors import ConfigError
from semloop.redaction import pii_patterns as pii
from semloop.redaction.json_strings import quoted, unescape
from semloop.redaction.key_names import KeyNames
from semloop.redaction.key_values import NOT_VALUES, key_finder, normal_form
from semloop.settings import Secret

HASH_CHARS = 12
# A replacement may expose another match, for example a number next to it. Two passes
# are usual; the bound keeps hostile input linear.
PASSES_MAX = 8
# Cached texts: names of fields, agents and tools repeat; ids and times are longer.
CACHED_BYTES_MAX, CACHED_MAX = 24, 2**12
# With these a pattern depends on the end of its text, which is unknown in raw bytes.
ANCHOR = re.compile(r"(?<!\[)\^|\$|\\[Az]")
PATTERN_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Letter, NULs, letter: UTF-16 or UTF-32, in which no pattern would match.
WIDE = re.compile(rb"[ -~]\x00++[ -~]")
# At any escaping depth: `\u0040` in JSON within JSON has two backslashes.
ASCII_ESCAPE = re.compile(rb"(?<!\\)\\++u00([02-7][0-9A-Fa-f])")
ANYTHING = re.compile(b"")
# Separates a key name from its value.
KEY_SIGN = re.compile(b"[:=]")
HIDING_GATE = r"\\u00[02-7]|\x00"

# A string and what marks it as a key (a colon; in invalid records, another string), a
# bracket, a comma, or any other characters. Possessive: no byte is read twice.
TOKEN = re.compile(
    rb'"((?:[^"\\]++|\\.)*+)("?)(\s*+(?::|(?=")))?|[{}\[\],]|[^\s"{}\[\],:]++',
    re.DOTALL,
)
NUMBER = re.compile(rb"-?[0-9][0-9.eE+\-]*+")


class Redactor:
    """Replaces private content by pseudonyms `<class:12 hex digits>`.

    Equal content has equal pseudonyms under one key, so redacted data can be joined.
    Redaction is idempotent. A record without a match of `gates`, RE2 expressions on
    raw bytes, contains no private content.
    """

    def __init__(
        self, key: Secret, keys: Sequence[str] = (), patterns: Mapping[str, str] = {}
    ) -> None:
        """Add `keys` and `patterns` of the settings to the built-in ones.

        Raises:
            ConfigError: a pattern that RE2 does not compile, or an invalid name.
        """
        self._secret = key
        self._keys = KeyNames(keys)
        self._own = [(name, _own_pattern(name, f)) for name, f in patterns.items()]
        gates = [HIDING_GATE, self._keys.gate, *(p.gate for p in pii.PATTERNS)]
        self._hit = pii.latin1("|".join(gates), never_capture=True)
        self.gates = [self._hit, *_own_gates(patterns.values())]
        self._cached_search = lru_cache(CACHED_MAX)(self._search)
        # Each with a required substring, whose search takes a tenth of the time.
        finders = [(ANYTHING, _own_finder(*own)) for own in self._own]
        finders += [(KEY_SIGN, key_finder(self._keys))]
        finders += [(pattern.needs, pattern.finder()) for pattern in pii.PATTERNS]
        self._finders = finders

    def text(self, text: str, key: str = "") -> str:
        """Redact a text; return the same object if it has no private content.

        `key` is the name whose value the text is, such as the name of a Kafka header.
        """
        raw = text.encode("utf-8", "surrogatepass")
        cleaned = self._value(raw, self._keys.of(key.encode("utf-8", "replace")))
        return text if cleaned == raw else cleaned.decode("utf-8", "surrogatepass")

    def json(self, raw: bytes) -> bytes:
        """Redact a record; return the same object if it has no private content.

        Valid JSON stays valid and keeps every other byte. Invalid JSON is redacted both
        as JSON, as far as possible, and as text. UTF-16 is replaced as a whole.
        """
        if not WIDE.search(raw):
            return self._document(raw)
        # Invalid UTF-8 stays invalid, so that the record is rejected for that reason.
        broken = b"" if _is_utf8(raw) else b"\xff"
        return broken + self._pseudonym("binary", raw)

    def _pseudonym(self, name: str, value: bytes) -> bytes:
        message = name.encode() + b"\0" + value
        digest = hmac.digest(self._secret.reveal().encode(), message, "sha256")
        return f"<{name}:{digest.hex()[:HASH_CHARS]}>".encode()

    def _may_be_private(self, text: bytes) -> bool:
        short = len(text) <= CACHED_BYTES_MAX
        return self._cached_search(text) if short else self._search(text)

    def _search(self, text: bytes) -> bool:
        if self._hit.search(text):
            return True
        return bool(self._own) and any(regex.search(text) for _, regex in self._own)

    def _text(self, text: bytes) -> bytes:
        if not self._may_be_private(text):
            return text
        cleaned = self._passes(text)
        plain = _plain(cleaned)
        if plain != cleaned:
            revealed = self._passes(plain)
            if revealed != plain:
                return revealed
        return cleaned if cleaned != text else text

    def _passes(self, text: bytes) -> bytes:
        for _ in range(PASSES_MAX):
            pieces = pii.PSEUDONYM.split(text)
            for needs, finder in self._finders:
                if not needs.search(text):
                    continue
                texts = iter(pieces[::2])
                split = self._split(finder, next(texts))
                for pseudonym, piece in zip(pieces[1::2], texts, strict=True):
                    split += [pseudonym, *self._split(finder, piece)]
                pieces = split
            if len(pieces) == 1 or (cleaned := b"".join(pieces)) == text:
                return text
            text = cleaned
        return text

    def _split(self, finder: pii.Finder, text: bytes) -> list[bytes]:
        """Return alternating text and pseudonyms; the first and last are text."""
        pieces, done = [], 0
        for span in finder(text):
            pieces += [text[done : span.start], self._pseudonym(span.name, span.normal)]
            done = span.end
        return [*pieces, text[done:]]

    def _document(self, raw: bytes) -> bytes:
        if _is_json(raw):
            return self._walk(raw)
        for _ in range(PASSES_MAX):
            if (cleaned := self._text(self._walk(raw))) == raw:
                break
            raw = cleaned
        return raw

    def _walk(self, raw: bytes) -> bytes:
        """Redact the tokens of a record as if it were JSON.

        `scope` is the class of the enclosing key, `pending` that of the key just read;
        `stack` contains the scopes of the open brackets.
        """
        out: list[bytes] = []
        stack: list[str | None] = []
        scope: str | None = None
        pending: str | None = None
        done = 0
        for match in TOKEN.finditer(raw):
            token = match[0]
            kind = token[:1]
            if kind in b"{[":
                stack.append(scope)
                scope, pending = pending or scope, None
                continue
            if kind in b"}],":
                if kind != b",":
                    scope = stack.pop() if stack else None
                pending = None
                continue
            if kind != b'"':
                cleaned = self._bare(token, pending or scope)
                if cleaned is token:
                    continue
            else:
                content = unescape(match[1])
                above = pending or scope
                if match[3] is not None and (not above or match[3].endswith(b":")):
                    pending = self._keys.of(content)
                    cleaned = self._text(content)
                else:
                    cleaned = self._value(content, above)
                if cleaned == content:
                    continue
                cleaned = quoted(cleaned, closed=bool(match[2])) + (match[3] or b"")
            out += [raw[done : match.start()], cleaned]
            done = match.end()
        return b"".join([*out, raw[done:]]) if out else raw

    def _value(self, content: bytes, name: str | None) -> bytes:
        """Redact the content of a string value; `name` is the class of its key."""
        if name:
            if not content or pii.PSEUDONYM.fullmatch(content):
                return content
            return self._pseudonym(name, normal_form(name, content))
        if content.lstrip()[:1] in (b"{", b"[", b'"') and self._may_be_private(content):
            return self._document(content)
        return self._text(content)

    def _bare(self, token: bytes, name: str | None) -> bytes:
        """Redact a number or constant; in invalid records any unquoted text."""
        if name:
            pseudonym = self._pseudonym(name, normal_form(name, token))
            return token if token in NOT_VALUES else quoted(pseudonym)
        if len(token) in (15, 16) and pii.card(token):
            return quoted(self._pseudonym("card", token))
        for own_name, regex in self._own if NUMBER.fullmatch(token) else ():
            if regex.search(token):
                return quoted(self._pseudonym(own_name, token))
        return token


def _own_pattern(name: str, find: str) -> Any:
    if not PATTERN_NAME.fullmatch(name):
        msg = f"The name of the redaction pattern {name!r} is not valid."
        raise ConfigError(
            msg, "Use lower-case letters, digits and _, starting with a letter."
        )
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(find.encode(), options)
    except (re2.error, UnicodeEncodeError):
        msg = f"The redaction pattern {name!r} is not a regular expression of RE2."
        todo = "Correct it; RE2 has no look-around and no back-references."
        raise ConfigError(msg, todo) from None


def _own_finder(name: str, regex: Any) -> pii.Finder:
    """Return a finder of the non-empty matches of a pattern of the settings."""
    return lambda text: (
        pii.Span(match.start(), match.end(), name, match[0])
        for match in regex.finditer(text)
        if match[0]
    )


def _own_gates(patterns: Iterable[str]) -> list[Any]:
    if any(ANCHOR.search(pattern) for pattern in patterns):
        return [re2.compile(b"")]
    # An escape sequence may encode any character.
    return [re2.compile(f"{pattern}|\\\\".encode()) for pattern in patterns]


def _plain(text: bytes) -> bytes:
    """Remove NULs and decode escapes of ASCII, which may hide private content."""
    for _ in range(PASSES_MAX):
        plain = ASCII_ESCAPE.sub(lambda m: bytes.fromhex(m[1].decode()), text)
        plain = plain.replace(b"\0", b"")
        if plain == text:
            break
        text = plain
    return text


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
