"""What the finders of private content share: spans and patterns."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import re2

# A pseudonym in the text that is searched: no pattern matches across it.
OPAQUE = b"\x1b"
PSEUDONYM = re.compile(rb"<[a-z][a-z0-9_]*+:[0-9a-f]{12}>")


# Memory of an automaton; with less, long expressions are searched without one.
AUTOMATON_BYTES_MAX = 2**26


class Span(NamedTuple):
    """A private part of a text: its class, and its normal form if it has another one.

    Equal normal forms of a class have equal pseudonyms. `rule` is what found it.
    """

    start: int
    end: int
    name: str
    normal: bytes | None = None
    rule: str = ""


class Finder(NamedTuple):
    """Finds one kind of private content.

    `find` gets a text in which each character is one byte (`views.shadow_of`). It is
    called only for texts that match `gate`, an expression of RE2. `rule` names it to
    people.
    """

    gate: str
    find: Callable[[bytes], Iterable[Span]]
    rule: str


def latin1(pattern: str, *, capture: bool = True) -> Any:
    """Compile an RE2 expression for bytes, which takes linear time on any input."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = not capture
    options.log_errors = False
    options.max_mem = AUTOMATON_BYTES_MAX
    return re2.compile(pattern.encode("latin-1"), options)


class Found(NamedTuple):
    """An accepted candidate: its normal form, and the number of its bytes."""

    normal: bytes
    length: int


def pattern_finder(
    name: str,
    gate: str,
    find: str,
    check: Callable[[bytes, int, int], Found | None],
    *,
    retry_bytes: int = 0,
    rule: str = "",
) -> Finder:
    """Return a finder of what group 1 of an RE2 expression matches.

    `check` gets the text and the candidate's start and end. After a rejected candidate
    the search continues `retry_bytes` after its start, or else at its end; only
    patterns with short candidates set it.
    """
    regex = latin1(find)

    def spans(text: bytes) -> Iterator[Span]:
        at = 0
        while match := regex.search(text, at):
            start, at = match.span(1)
            found = check(text, start, at)
            if found:
                at = start + found.length
                yield Span(start, at, name, found.normal)
            elif retry_bytes:
                at = min(at, start + retry_bytes)

    return Finder(gate, spans, rule or f"form of {name}")


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans in the order of the text, with overlapping ones made into one.

    The first of overlapping spans in the given order names the class; its normal form
    remains only if it covers the others.
    """
    ordered = sorted(enumerate(spans), key=lambda item: (item[1].start, -item[1].end))
    found: list[tuple[int, Span]] = []
    for order, span in ordered:
        if not found or span.start >= found[-1][1].end:
            found.append((order, span))
            continue
        best, last = found[-1]
        start, end = last.start, max(last.end, span.end)
        named = span if order < best else last
        covers = (named.start, named.end) == (start, end)
        union = named if covers else Span(start, end, named.name, None, named.rule)
        found[-1] = (min(order, best), union)
    return [span for _, span in found]
