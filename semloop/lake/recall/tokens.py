"""Tokenization and stemming for the keyword part of the ranking."""

import re
import unicodedata
from collections.abc import Sequence
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


def query_stems(query: str) -> list[str]:
    """Return the distinct stems of a query."""
    return list(dict.fromkeys(stems(searched_words(query))))


def stems(text: str) -> list[str]:
    """Return the stems of a text's words, in order, without stop words."""
    return [stem for word in words(text) if (stem := stem_of(word))]


@lru_cache(STEMS_MAX)
def stem_of(word: str) -> str:
    """Return the stem of a word; empty for a stop word."""
    if word in STOP:
        return ""
    with STEMMER_LOCK:
        return str(_stemmer().stemWord(word))


def counts(stemmed: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Count the occurrences of each wanted stem."""
    return [stemmed.count(stem) for stem in wanted]


@lru_cache(1)
def _stemmer() -> Any:
    from semloop.extras import need

    return need("snowballstemmer").stemmer("english")
