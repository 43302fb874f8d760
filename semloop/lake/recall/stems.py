"""Word stems of memories and queries, which the keyword part of recall counts.

A memory stores its stems as hashes (`features`), so that a query counts them without
reading and stemming the texts again.
"""

import re
import unicodedata
import zlib
from functools import lru_cache
from threading import Lock
from typing import Any

# Stop words of texts: Lucene's list, which Lance's index uses too. Queries have more:
# question words, which do not describe what to search for.
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
WORD = re.compile(r"[^\W_]+")
# Distinct words whose stems are cached: those of a large lake, a few megabytes.
STEMS_MAX = 100_000
# The stemmer stores the current word in itself, so it is not thread-safe.
STEMMER_LOCK = Lock()


def words(text: str) -> list[str]:
    """Split a text into words, lower case and without accents, like Lance's index."""
    text = text.lower()
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text)
        text = "".join(part for part in parts if not unicodedata.combining(part))
    return WORD.findall(text)


def searched_words(query: str) -> str:
    """Return the query without stop words; all of it if it has only stop words."""
    kept = [word for word in words(query) if word not in STOP_IN_QUESTIONS]
    return " ".join(kept) or query


def query_hashes(query: str) -> list[int]:
    """Return the hashes of the distinct stems of a query."""
    return list(dict.fromkeys(text_hashes(searched_words(query))))


def text_hashes(text: str) -> list[int]:
    """Return the hashes of the stems of a text's words, in order.

    A hash is the CRC-32 of the stem in UTF-8. Stop words have none.

    Raises:
        MissingExtra: snowballstemmer is not installed.
    """
    return [found for word in words(text) if (found := _hash_of(word)) is not None]


@lru_cache(STEMS_MAX)
def _hash_of(word: str) -> int | None:
    """Return the hash of a word's stem; None for a stop word."""
    if word in STOP:
        return None
    with STEMMER_LOCK:
        stem = str(_stemmer().stemWord(word))
    return zlib.crc32(stem.encode()) if stem else None


@lru_cache(1)
def _stemmer() -> Any:
    from semloop.extras import need

    return need("snowballstemmer").stemmer("english")
