"""Searches a text for all kinds of private content."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import re2

from semloop.redaction.finding import OPAQUE, Finder, Span, merged
from semloop.redaction.views import OTHER, View, shadow_of, views

# Cached texts: names of fields, agents and tools repeat; ids and times are longer.
CACHED_CHARS_MAX, CACHED_MAX = 24, 2**12
# Memory of the automaton of all gates; with less, it has no answer for some texts.
GATES_BYTES_MAX = 2**27

# Two passes are usual; the bound keeps hostile input linear.
PASSES_MAX = 8
MASK = OPAQUE.decode()


class OwnPattern(NamedTuple):
    """A pattern of the settings, which matches UTF-8."""

    name: str
    regex: Any

    def find(self, text: str) -> list[Span]:
        """Return the non-empty matches."""
        raw = text.encode("utf-8", "surrogatepass")
        spans = []
        done = position = 0
        for match in self.regex.finditer(raw):
            if not match[0]:
                continue
            start = position + _length(raw[done : match.start()])
            done, position = match.end(), start + _length(match[0])
            spans.append(Span(start, position, self.name, match[0], "own pattern"))
        return spans


class TextSearch:
    """Finds private content in text.

    One pass over a text says which finders have anything to look for in it.
    """

    def __init__(
        self, finders: Sequence[Finder], own: Sequence[OwnPattern] = ()
    ) -> None:
        """Compile the gates of all finders into one set."""
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.never_capture = True
        options.log_errors = False
        options.max_mem = GATES_BYTES_MAX
        self._gates = re2.Set.SearchSet(options)
        for finder in finders:
            self._gates.Add(finder.gate.encode("latin-1"))
        self._gates.Compile()
        self._finders = finders
        self._own = own
        self._cached = lru_cache(CACHED_MAX)(self._find)

    def find(self, text: str) -> list[Span]:
        """Return the private parts of a text, in order and apart from each other."""
        return (self._cached if len(text) <= CACHED_CHARS_MAX else self._find)(text)

    def own(self, text: str) -> list[Span]:
        """Return what the patterns of the settings match."""
        return [span for pattern in self._own for span in pattern.find(text)]

    def _find(self, text: str) -> list[Span]:
        found: list[Span] = []
        for _ in range(PASSES_MAX):
            spans = [span for view in views(text) for span in self._in_view(view)]
            if not spans:
                break
            found = merged([*found, *spans])
            text = _masked(text, found)
        return found

    def _in_view(self, view: View) -> list[Span]:
        shadow = shadow_of(view.text)
        found = [view.original(span) for span in self.own(view.text)]
        # In the order of precedence, in which the set does not return them.
        for index in sorted(self._gates.Match(shadow) or ()):
            finder = self._finders[index]
            for match in finder.find(shadow):
                span = _complete(match, finder.rule, view.text)
                found.append(view.original(span) if view.below else span)
        return found


def _complete(span: Span, rule: str, text: str) -> Span:
    """Add the rule, and the normal form if the shadow lacks letters of it."""
    normal = span.normal
    if normal is None or not normal.isascii() or OTHER in normal:
        part = text[span.start : span.end]
        folded = part.casefold() if span.name == "email" else part.strip()
        normal = folded.encode("utf-8", "surrogatepass")
    return Span(span.start, span.end, span.name, normal, rule)


def _masked(text: str, spans: Sequence[Span]) -> str:
    """Return the text as it will be searched once it has pseudonyms.

    A replacement may expose another match, for example a number next to it.
    """
    pieces, done = [], 0
    for span in spans:
        pieces += [text[done : span.start], MASK * (span.end - span.start)]
        done = span.end
    return "".join([*pieces, text[done:]])


def _length(raw: bytes) -> int:
    return len(raw.decode("utf-8", "surrogatepass"))
