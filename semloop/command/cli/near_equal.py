"""Folds near-equal hits, so that k places of a list show k different things."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from semloop.lake.recall.request import K_MAX

if TYPE_CHECKING:
    import pyarrow as pa

# Hits fetched for each place; four times as many if they do not suffice.
HITS_PER_PLACE = 4
DIGITS = re.compile(r"\d+")


class _Characters(dict[int, str]):
    """What a character becomes; computed once for each character."""

    def __missing__(self, code: int) -> str:
        # Symbols stay: they are words of their own, such as emoji and currencies.
        char = chr(code)
        is_word = unicodedata.category(char)[0] not in "PZC"
        self[code] = char if is_word else " "
        return self[code]


CHARACTERS = _Characters()


def fetch_places(
    search: "Callable[[int], pa.Table]", k: int
) -> "tuple[pa.Table, list[list[int]]]":
    """Search for k different things.

    Args:
        search: returns the best hits, at most as many as its argument.
        k: number of places; if it is out of range, the search must raise an error.

    Returns:
        the hits, and at most k places, best first, each with the row numbers of its
        hits. There are fewer places if there are no more hits, or if the maximum of one
        search does not contain k different ones.
    """
    count = max(k, min(HITS_PER_PLACE * k, K_MAX))
    while True:
        found = search(count)
        places = fold(found["namespace"].to_pylist(), found["text"].to_pylist())
        if len(places) >= k or len(found) < count or count >= K_MAX:
            return found, places[:k]
        count = min(HITS_PER_PLACE * count, K_MAX)


def fold(namespaces: Sequence[str | None], texts: Sequence[str]) -> list[list[int]]:
    """Group the row numbers of near-equal texts of a namespace, in order."""
    places: dict[tuple[str | None, str], list[int]] = {}
    for row, (namespace, text) in enumerate(zip(namespaces, texts, strict=True)):
        places.setdefault((namespace, fold_key(text)), []).append(row)
    return list(places.values())


def fold_key(text: str) -> str:
    """Return what near-equal texts have in common.

    Case, punctuation and the digits of numbers are not in it. A text without letters
    and symbols is its own key: "42" is not like "7".
    """
    normal = unicodedata.normalize("NFKC", text).casefold().translate(CHARACTERS)
    key = " ".join(DIGITS.sub("0", normal).split())
    return key if key.strip("0 ") else text
