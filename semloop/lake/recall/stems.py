"""Stop words, and the stems of words; hashes of them are what recall counts.

A memory stores its stems as hashes (`features`), so that a query counts them without
reading and stemming the texts again.
"""

import zlib
from collections.abc import Iterable
from functools import lru_cache
from threading import Lock
from typing import Any

# Stop words of texts: Lucene's list. Queries have more: question words, which do not
# describe what to search for.
STOP = frozenset(
    [
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in"),
        *("into", "is", "it", "no", "not", "of", "on", "or", "such", "that", "the"),
        *("their", "then", "there", "these", "they", "this", "to", "was", "will"),
        "with",
    ]
)
STOP_IN_QUESTIONS = STOP | frozenset(
    [
        *("what", "when", "where", "who", "why", "how", "which", "did", "does", "do"),
        *("has", "have", "had", "would", "could", "should", "can", "i", "you", "he"),
        *("she", "his", "her", "him", "my", "your", "our", "we", "us", "me", "them"),
        *("so", "just", "about", "from", "up", "out", "s", "t"),
    ]
)
# The stemmer stores the current word in itself, so it is not thread-safe.
STEMMER_LOCK = Lock()


def stem_of(word: str) -> str | None:
    """Return the stem of a folded word; None if nothing is left of it.

    Raises:
        MissingExtra: snowballstemmer is not installed.
    """
    with STEMMER_LOCK:
        return str(_stemmer().stemWord(word)) or None


def hashes(terms: Iterable[str]) -> list[int]:
    """Return the CRC-32 of each term in UTF-8."""
    return [zlib.crc32(term.encode()) for term in terms]


@lru_cache(1)
def _stemmer() -> Any:
    from semloop.extras import need

    return need("snowballstemmer").stemmer("english")
