"""Shortens texts: both ends stay, and what reports an error in between."""

import heapq
import re
from collections.abc import Iterator

LEFT_OUT = " … "
# Shares of a shortened text, the rest is its end: there stand results and errors.
HEAD_SHARE, ERRORS_SHARE = 0.35, 0.2
# Characters that are kept around a word that reports an error.
BEFORE_CHARS, AFTER_CHARS = 80, 160
# A cut moves by at most this many characters to be between words.
WORD_CHARS = 30
# The share of a bound that the first of two texts has at least, if both are long.
FIRST_SHARE = 1 / 3
# Words that report an error, or a part of them, in small letters.
ERRORS = (
    "error", "exception", "traceback", "fail", "fatal", "panic", "denied", "refused",
    "rejected", "timed out", "timeout", "abort", "killed", "segfault", "cannot",
    "not found", "crash", "mismatch", "错误", "失败", "异常", "エラー", "失敗", "例外",
)  # fmt: skip
BLANK = re.compile(r"[\s\x00]+")


def one_line(text: str) -> str:
    """Return a text in one line, with single spaces."""
    return BLANK.sub(" ", text)


def reports_error(text: str) -> bool:
    """Return True if a text has a word that reports an error."""
    small = text.lower()
    return any(word in small for word in ERRORS)


def shortened(text: str, chars: int) -> str:
    """Return a text of at most `chars` characters.

    Of a longer text, the beginning, the end and the first reports of errors between
    them are kept.
    """
    if len(text) <= chars:
        return text
    if chars <= 4 * len(LEFT_OUT):
        return text[:chars]
    head = _first(text, int(chars * HEAD_SHARE))
    errors_max = int(chars * ERRORS_SHARE)
    end = len(text) - (chars - len(head) - errors_max)
    errors = _errors(text, len(head), end, errors_max)
    rest = chars - len(head) - len(errors) - 2 * len(LEFT_OUT)
    return LEFT_OUT.join(filter(None, (head, errors, _last(text, rest))))


def shared(first: str, second: str, chars: int) -> tuple[str, str]:
    """Shorten two texts to at most `chars` characters together.

    The first one gets what the second one leaves, but at least a third.
    """
    room = max(int(chars * FIRST_SHARE), chars - len(second))
    first = shortened(first, room)
    return first, shortened(second, chars - len(first))


def _first(text: str, chars: int) -> str:
    space = text.rfind(" ", max(chars - WORD_CHARS, 0), chars + 1)
    return text[: space if space > 0 else chars]


def _last(text: str, chars: int) -> str:
    start = len(text) - chars
    space = text.find(" ", start - 1, start + WORD_CHARS)
    return text[space + 1 if space >= 0 else start :]


def _errors(text: str, start: int, end: int, chars: int) -> str:
    """Return the text around the first reports of errors between two places."""
    found: list[str] = []
    before, after = min(BEFORE_CHARS, chars // 4), min(AFTER_CHARS, chars // 2)
    at = start
    for place in _places(text, start, end):
        first, last = max(place - before, at), min(place + after, end)
        if place < at:
            continue
        part = text[first:last].strip()
        chars -= len(part) + len(LEFT_OUT)
        if chars < 0:
            break
        found.append(part)
        at = last
    return LEFT_OUT.join(found)


def _places(text: str, start: int, end: int) -> Iterator[int]:
    """Yield where errors are reported, in order."""
    small = text.lower()
    if len(small) != len(text):
        # A few capitals have two small letters.
        small = text
    # Searching word by word takes a tenth of one expression with all of them.
    places = ((small.find(word, start, end), word) for word in ERRORS)
    heap = [(place, word) for place, word in places if place >= 0]
    heapq.heapify(heap)
    while heap:
        place, word = heap[0]
        yield place
        following = small.find(word, place + 1, end)
        if following < 0:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following, word))
