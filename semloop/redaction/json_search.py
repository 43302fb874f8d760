"""Searches JSON for private content: by the names of its members, and in its strings.

The text is scanned, not parsed and encoded again, so that all bytes but those of the
secrets stay the producer's, duplicate names included.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import msgspec

from semloop.redaction.credentials import cookie_values
from semloop.redaction.finding import OPAQUE, Span
from semloop.redaction.key_names import Name, NameTable, Values, is_other
from semloop.redaction.named_values import is_private, normal_form
from semloop.redaction.numbers import card_number
from semloop.redaction.shapes import Strength, is_message, strength
from semloop.redaction.text_search import TextSearch
from semloop.redaction.views import View, json_content, shadow_of

# A string, perhaps with the colon of a name; a bracket; a number or constant.
TOKEN = re.compile(
    r'"((?:[^"\\]++|\\.)*+)"(\s*+:)?|[{}\[\]]|[^\s"{}\[\],:]++', re.DOTALL
)
HEADER_NAME = re.compile(r"[\w.\-]{1,40}")
NUMBER = re.compile(r"-?[0-9][0-9.eE+\-]*+")
CONSTANTS = frozenset(("null", "true", "false"))
# Pairs of a name and its value: `{"name": "password", "value": "..."}`.
NAME_MEMBERS = frozenset(
    (
        "name",
        "key",
        "header",
        "field",
        "id",
        "label",
        "param",
        "parameter",
        "variable",
        "k",
    )
)
VALUE_MEMBERS = frozenset(
    ("value", "val", "content", "data", "text", "v", "default", "stringvalue")
)
JWK_MEMBERS = frozenset(("d", "k", "p", "q", "dp", "dq", "qi"))
BY_NAME = "value of a name"
JWK = Name("private_key", Values.TEXTS)
MAYBE_CONTAINERS = frozenset('{["\t\n\r ')
# Cached names of members, which repeat from event to event.
KEYS_MAX = 4096
SHORT = 32
NAME_CHARS_MAX = 64


class Part(NamedTuple):
    """A private part of a document; `bare` ones are numbers, which become strings."""

    span: Span
    bare: bool = False
    depth: int = 0


class Level:
    """An open object or array. Its scope is the class of the names around it."""

    __slots__ = ("is_object", "key", "last", "members", "name", "scope")

    def __init__(self, is_object: bool, scope: Name | None) -> None:
        self.is_object = is_object
        self.scope = scope
        self.key = ""
        # Of the key, or of the string before in an array.
        self.name: Name | None = None
        self.last = ""
        # The strings of an object by name.
        self.members: dict[str, re.Match[str]] = {}


class JsonSearch:
    """Finds private content in JSON."""

    def __init__(
        self, names: NameTable, text: TextSearch, *, cards: bool = True
    ) -> None:
        """Search with these names and rules of text; `cards`: numbers of cards too."""
        self._cards = cards
        self._names = names
        self._text = text
        self._key = lru_cache(KEYS_MAX)(self._key_of)
        self._public = lru_cache(KEYS_MAX)(self._is_public)

    def find(self, document: str) -> list[Part]:
        """Return the private parts of a valid JSON document, in any order."""
        parts: list[Part] = []
        level = Level(False, None)
        stack = [level]
        for match in TOKEN.finditer(document):
            content, colon = match.group(1, 2)
            if colon:
                level.key, level.name, found = self._key(content)
                for part in found:
                    parts.append(_moved(part, json_content(content), match.start(1)))
                continue
            if content is not None:
                if level.is_object:
                    level.members[level.key] = match
                    named = level.name or level.scope
                    # Most strings are short, repeat, and have no private part.
                    if not named and len(content) <= SHORT and self._public(content):
                        continue
                if found := self._string(match, level):
                    parts += found
                continue
            sign = match[0]
            if sign in "{[":
                name = level.name if level.is_object else None
                level = Level(sign == "{", name or level.scope)
                stack.append(level)
            elif sign in "]}":
                if len(level.members) > 1:
                    parts += self._pairs(level.members)
                stack.pop()
                level = stack[-1]
            elif sign not in CONSTANTS:
                name = (level.name if level.is_object else None) or level.scope
                if span := self._number(sign, match.start(), name):
                    parts.append(Part(span, bare=True))
        return parts

    def _key_of(self, content: str) -> tuple[str, Name | None, list[Part]]:
        text = json_content(content).text
        parts, shadow = self._content(text), shadow_of(text)
        # A name with private content is a text; with its pseudonym it is the same one.
        is_name = not parts and OPAQUE not in shadow
        name = self._names.of(shadow.decode("latin-1")) if is_name else None
        return text.lower(), name, parts

    def _is_public(self, content: str) -> bool:
        return not self._content(json_content(content).text)

    def value(self, text: str, name: Name | None) -> list[Part]:
        """Return the private parts of the content of a string behind a name."""
        if name and name.values is not Values.HEADERS:
            if whole := self._whole(text, name, in_container=False):
                return [Part(whole)]
        elif name and name.name == "cookie" and "=" in text:
            spans = cookie_values(shadow_of(text), 0, len(text))
            return [Part(span._replace(rule=BY_NAME)) for span in spans]
        elif name and is_private(name, shadow_of(text), Strength.TEXT):
            return [Part(Span(0, len(text), name.name, text.strip().encode(), BY_NAME))]
        return self._content(text)

    def _string(self, match: re.Match[str], level: Level) -> list[Part]:
        """Return the private parts of a value, as parts of the document."""
        content = match[1]
        if "\\" in content:
            view = json_content(content)
            found = self._member(view.text, level)
            return [_moved(part, view, match.start(1)) for part in found]
        found = self._member(content, level)
        return [_shifted(part, match.start(1)) for part in found] if found else found

    def _member(self, text: str, level: Level) -> list[Part]:
        if level.is_object:
            if level.name:
                return self.value(text, level.name)
        else:
            header, level.last = level.last, text
            name = self._header(header)
            if name and (whole := self._whole(text, name, in_container=True)):
                return [Part(whole)]
        if level.scope and (whole := self._in_scope(text, level, level.scope)):
            return [Part(whole)]
        return self._content(text)

    def _in_scope(self, text: str, level: Level, scope: Name) -> Span | None:
        if level.is_object and is_other(level.key):
            return None
        least = Strength.STRONG if level.is_object else Strength.MIXED
        if scope.values is Values.NUMBERS or strength(shadow_of(text)) >= least:
            return self._whole(text, scope, in_container=True)
        return None

    def _header(self, name: str) -> Name | None:
        """Return the class of a name in a list of names and values."""
        return self._names.of(name) if HEADER_NAME.fullmatch(name) else None

    def _content(self, text: str) -> list[Part]:
        if text[:1] in MAYBE_CONTAINERS and _is_container(text):
            return self.find(text)
        found = self._text.find(text)
        return [Part(span) for span in found] if found else []

    def _whole(self, text: str, name: Name, *, in_container: bool) -> Span | None:
        shadow = shadow_of(text)
        least = Strength.MIXED if in_container else Strength.TEXT
        private = is_private(name, shadow, least)
        if not private and name.values is Values.MIXED and not in_container:
            # A phrase of words, or a long text without digits, under `secret`.
            private = (
                strength(shadow) >= Strength.TEXT
                and len(shadow) >= 16
                and not is_message(shadow)
                and b" " not in shadow
                and b"://" not in shadow
            )
        if not private and name.values is Values.HEADERS and in_container:
            private = strength(shadow) >= Strength.MIXED
        if not private:
            return None
        raw = shadow if text.isascii() else text.encode("utf-8", "surrogatepass")
        return Span(0, len(text), name.name, normal_form(name.name, raw), BY_NAME)

    def _number(self, token: str, at: int, name: Name | None) -> Span | None:
        if not NUMBER.fullmatch(token):
            return None
        raw = token.encode()
        if name and name.values is Values.ALL:
            return Span(at, at + len(token), name.name, raw, BY_NAME)
        if name and name.values is Values.NUMBERS and "." not in token:
            return Span(
                at, at + len(token), name.name, normal_form(name.name, raw), BY_NAME
            )
        if self._cards and len(token) in (15, 16) and card_number(raw):
            return Span(at, at + len(token), "card", raw, "form of card")
        for span in self._text.own(token):
            return Span(at, at + len(token), span.name, raw, span.rule)
        return None

    def _pairs(self, members: dict[str, re.Match[str]]) -> Iterator[Part]:
        """Yield values whose names are values too, and the secrets of a JWK."""
        if "kty" in members:
            for key in JWK_MEMBERS & members.keys():
                yield from self._again(members[key], JWK)
        if VALUE_MEMBERS.isdisjoint(members):
            return
        for key in NAME_MEMBERS & members.keys():
            content = members[key][1]
            if len(content) <= NAME_CHARS_MAX and (name := self._key(content)[1]):
                for value in VALUE_MEMBERS & members.keys():
                    yield from self._again(members[value], name)

    def _again(self, match: re.Match[str], name: Name) -> Iterator[Part]:
        view = json_content(match[1])
        for part in self.value(view.text, name):
            yield _moved(part, view, match.start(1))


def _shifted(part: Part, by: int) -> Part:
    """Return a part of a string's content as a part of the document around it."""
    start, end, name, normal, rule = part.span
    span = Span(start + by, end + by, name, normal, rule)
    return Part(span, part.bare, part.depth + 1)


def _moved(part: Part, view: View, at: int) -> Part:
    """The same, for a string with escapes."""
    return _shifted(Part(view.original(part.span), part.bare, part.depth), at)


def _is_container(text: str) -> bool:
    try:
        decoded = msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return isinstance(decoded, dict | list | str)
