"""The words of a text as the keyword part of the ranking counts them."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import Any

# A text's words, and with those of a question left out. The first are Lucene's, which
# Lance's index drops too; the others ask, and say nothing of what is asked for.
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
# Distinct words whose stems are kept; the words of a large lake, a few megabytes.
STEMS_MAX = 100_000
# The stemmer keeps the word it is at in itself.
ONE_AT_A_TIME = Lock()


def words(text: str) -> list[str]:
    """Words in lower case and without accents, as Lance's index has them."""
    text = text.lower()
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text)
        text = "".join(part for part in parts if not unicodedata.combining(part))
    return WORD.findall(text)


def searched_words(query: str) -> str:
    """The words of a query to look for; all of them if each is a question word."""
    found = [word for word in words(query) if word not in STOP_IN_QUESTIONS]
    return " ".join(found) or query


def query_stems(query: str) -> list[str]:
    """The stems to be counted, each once."""
    return list(dict.fromkeys(stems(searched_words(query))))


def stems(text: str) -> list[str]:
    """The stems of a text's words, in order, without those of no meaning."""
    return [stem for word in words(text) if (stem := stem_of(word))]


@lru_cache(STEMS_MAX)
def stem_of(word: str) -> str:
    """The stem of a word; empty for one that is not counted."""
    if word in STOP:
        return ""
    with ONE_AT_A_TIME:
        return str(_stemmer().stemWord(word))


def counts(stemmed: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """How often each wanted stem is there."""
    return [stemmed.count(stem) for stem in wanted]


@lru_cache(1)
def _stemmer() -> Any:
    from semloop.extras import need

    return need("snowballstemmer").stemmer("english")
