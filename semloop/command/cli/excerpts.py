"""The words of a query in a text, and the part of a long text around them."""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from typing import NamedTuple

from semloop.lake.recall.words import terms_in

CUT = "…"


class Mark(NamedTuple):
    """Words of the query in a text, overlapping ones as one: their place and terms."""

    start: int
    end: int
    terms: frozenset[str]


class Excerpt(NamedTuple):
    """A text, or a part of it, with its marks."""

    text: str
    marks: list[Mark]


def marks_in(text: str, terms: Collection[str]) -> list[Mark]:
    """Find the words of a query in a text.

    Args:
        text: the text.
        terms: terms of the query (`query_terms`).
    """
    if not terms:
        return []
    found = [term for term in terms_in(text) if term.term in terms]
    marks: list[Mark] = []
    for start, end, term in sorted(found):
        if marks and start < marks[-1].end:
            before = marks[-1]
            both = before.terms | {term}
            marks[-1] = Mark(before.start, max(before.end, end), both)
        else:
            marks.append(Mark(start, end, frozenset((term,))))
    return marks


def excerpt(text: str, marks: Sequence[Mark], chars: int) -> Excerpt:
    """Cut a text to at most `chars` characters with as many marks as possible.

    Most distinct words of the query count first, then most marks, then the earliest
    place. A cut end has an ellipsis, and is between words if it can be.

    Args:
        text: one line of text.
        marks: its marks, in order.
        chars: maximum length of the result, at least 3.
    """
    if len(text) <= chars:
        return Excerpt(text, list(marks))
    room = chars - 2 * len(CUT)
    kept = _most_marks(marks, room)
    first, last = (kept[0].start, kept[-1].end) if kept else (0, 0)
    start = min(first - max(room - (last - first), 0) // 2, len(text) - room)
    start = max(start, 0)
    end = start + room
    if start and (space := text.find(" ", start - 1, first)) >= 0:
        start = space + 1
    if end < len(text) and (space := text.rfind(" ", max(last, start), end + 1)) > 0:
        end = space
    before, after = CUT if start else "", CUT if end < len(text) else ""
    moved = len(before) - start
    return Excerpt(
        before + text[start:end] + after,
        [
            Mark(mark.start + moved, min(mark.end, end) + moved, mark.terms)
            for mark in marks
            if start <= mark.start < end
        ],
    )


def _most_marks(marks: Sequence[Mark], room: int) -> Sequence[Mark]:
    """Return the most valuable marks that fit in `room` characters."""
    ends = [mark.end for mark in marks]
    best: Sequence[Mark] = ()
    value = (0, 0)
    for index, mark in enumerate(marks):
        # The first one counts even if it is longer.
        upto = max(bisect_right(ends, mark.start + room), index + 1)
        fitting = marks[index:upto]
        terms = frozenset[str]().union(*(mark.terms for mark in fitting))
        found = len(terms), len(fitting)
        if found > value:
            best, value = fitting, found
    return best
