"""Splits texts into the terms that recall searches, counts and marks.

One tokenizer serves the index, the statistics, the query and the marked words of a hit:

- A word is folded: compatibility forms (full width, ligatures), case and accents are
  equal to the plain letters. Its stem is its term.
- `get_user_name`, `getUserName`, `user-name`, `os.path` and `src/app` have the terms of
  their parts, and one for the whole.
- Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese have no spaces between words,
  or particles that are attached to them. A run of such characters has a term for each
  character and for each pair of neighbours. A query asks for the pairs only, unless it
  is a single character.
- An emoji is a term.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

from semloop.lake.recall.stems import STOP, STOP_IN_QUESTIONS, stem_of

# Characters without width inside a word: soft hyphen, joiners and similar ones.
INVISIBLE = "\u00ad\u200b-\u200d\u2060\ufeff"
# Also the parts of a decomposed Korean syllable after its first, and voiced marks.
OTHER_MARKS = f"{INVISIBLE}\u1160-\u11ff\u3099\u309a\uff9e\uff9f"
# Thai and Lao; Burmese; Khmer; Korean; Japanese and Chinese.
UNSPACED = (
    "\u0e00-\u0eff"
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"
    "\u1780-\u17ff"
    "\u1100-\u115f\u3130-\u318f\uac00-\ud7a3"
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
FLAG = "\U0001f1e6-\U0001f1ff"
EMOJI = (
    "\u231a-\u23ff\u2600-\u27bf\u2b50-\u2b55\U0001f000-\U0001f3fa\U0001f400-\U0001fbff"
)
# The separators of an identifier, a dotted name, a number or a path.
JOINED = re.compile(r"_+|[-./]")
ASCII_TOKEN = re.compile(r"(?P<word>[A-Za-z0-9]+(?:(?:_+|[-./])[A-Za-z0-9]+)*)")
# Two words of a sentence, such as `well-known` and `and/or`: a term of the whole would
# count one word twice.
PROSE = re.compile(r"[^\W\d_]+[-/][^\W\d_]+")
# `HTTPServer2` is HTTP, Server, 2.
CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Accents and vowel signs that a text may leave out: Latin, Greek, Cyrillic, Hebrew and
# Arabic. Those of other scripts tell words apart.
OPTIONAL = re.compile(
    f"[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670{INVISIBLE}]"
)
# Letters that no decomposition makes plain.
PLAIN = str.maketrans(
    {
        "\u0131": "i",
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
    }
)
# A longer name, mostly a path, is searched by its parts.
WHOLE_CHARS_MAX = 64
# A longer word is not one; its first characters are its term.
TERM_CHARS_MAX = 64
# Distinct words whose terms are cached: about 10 MB.
WORDS_MAX = 30_000


class Term(NamedTuple):
    """A term of a text, and its characters in the text."""

    start: int
    end: int
    term: str


def terms_in(text: str) -> Iterator[Term]:
    """Yield the terms of a text, in order of their ends; stop words have none.

    Raises:
        MissingExtra: snowballstemmer is not installed.
    """
    for found in _tokens(text):
        begin = found.start()
        for start, end, term in _terms(found):
            yield Term(begin + start, begin + end, term)


def text_terms(text: str) -> list[str]:
    """Return the terms of a text, in the order of `terms_in`."""
    terms: list[str] = []
    for found in _tokens(text):
        if found.lastgroup == "word":
            terms += _word_terms(found[0])
        else:
            terms += [term.term for term in _terms(found)]
    return terms


def query_terms(query: str) -> list[str]:
    """Return the distinct terms of a query, without words that only ask.

    If it has no others, these are searched.
    """
    found = [
        term
        for start, end, term in _asked(query)
        if _folded(query[start:end]) not in STOP_IN_QUESTIONS
    ]
    return list(dict.fromkeys(found or text_terms(query)))


def unspaced_share(query: str) -> float:
    """Return the share of a query's letters that are of scripts without spaces."""
    letters = sum(map(str.isalpha, query))
    if query.isascii() or not letters:
        return 0.0
    return len(_patterns().unspaced_letter.findall(query)) / letters


def _asked(query: str) -> Iterator[Term]:
    """Yield the terms of a query: of a run without spaces, only the pairs."""
    for found in _tokens(query):
        terms = _terms(found)
        if found.lastgroup == "run" and len(terms) > 1:
            # After the first one, characters and pairs take turns.
            terms = terms[2::2]
        for start, end, term in terms:
            yield Term(found.start() + start, found.start() + end, term)


def _tokens(text: str) -> Iterator["re.Match[str]"]:
    return (ASCII_TOKEN if text.isascii() else _patterns().token).finditer(text)


class _Patterns(NamedTuple):
    """What texts with characters beyond ASCII are split by."""

    token: re.Pattern[str]
    cluster: re.Pattern[str]
    unspaced_letter: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    """Compile them on first use, which takes 13 ms: most commands read ASCII only."""
    mark = f"{_marks()}{OTHER_MARKS}"
    letter = rf"[^\W_{UNSPACED}]"
    word = rf"{letter}(?:{letter}|[{mark}])*"
    token = (
        rf"(?P<word>{word}(?:(?:{JOINED.pattern}){word})*)"
        rf"|(?P<run>(?:(?=[^\W_])[{UNSPACED}][{mark}]*)+)"
        rf"|(?P<emoji>[{FLAG}]{{2}}|[{EMOJI}])"
    )
    return _Patterns(
        re.compile(token),
        re.compile(rf".[{mark}]*"),
        re.compile(rf"(?=[^\W\d_])[{UNSPACED}]"),
    )


def _marks() -> str:
    r"""Return the combining marks of all scripts, which `\w` does not match."""
    blocks = (*range(0x300, 0x1D00), *range(0xA800, 0xAC00))
    return "".join(
        chr(code) for code in blocks if unicodedata.category(chr(code))[0] == "M"
    )


def _terms(token: "re.Match[str]") -> tuple[Term, ...]:
    return _run(token[0]) if token.lastgroup == "run" else _word(token[0])


def _run(run: str) -> tuple[Term, ...]:
    """Return each character of a run with its marks, and each pair of neighbours."""
    clusters = [
        Term(*found.span(), _folded(found[0]))
        for found in _patterns().cluster.finditer(run)
    ]
    terms = clusters[:1]
    for before, this in pairwise(clusters):
        terms += [this, Term(before.start, this.end, before.term + this.term)]
    return tuple(terms)


@lru_cache(WORDS_MAX)
def _word(word: str) -> tuple[Term, ...]:
    """Return the terms of a word, or of the parts of a name and the whole."""
    terms: list[Term] = []
    start = 0
    for separator in (*JOINED.finditer(word), None):
        end = separator.start() if separator else len(word)
        parts = _camel_parts(word[start:end])
        terms += [
            Term(start + first, start + last, term)
            for first, last in parts
            if (term := _term(word[start + first : start + last]))
        ]
        if len(parts) > 1 and (term := _term(word[start:end])):
            terms.append(Term(start, end, term))
        if separator:
            start = separator.end()
    if start and len(word) <= WHOLE_CHARS_MAX and not PROSE.fullmatch(word):
        terms.append(Term(0, len(word), _folded(word)))
    return tuple(terms)


@lru_cache(WORDS_MAX)
def _word_terms(word: str) -> tuple[str, ...]:
    return tuple(term.term for term in _word(word))


def _camel_parts(word: str) -> list[tuple[int, int]]:
    """Return where the parts of a name in camel case are; of others, the whole."""
    whole = [(0, len(word))]
    if word.isupper() or word[1:].islower() or len(word) > WHOLE_CHARS_MAX:
        return whole
    if word[1:] == word[1:].lower():
        return whole
    parts = [found.span() for found in CAMEL.finditer(word)]
    # Random letters and digits, such as an id, change their case all the time.
    covered = sum(end - start for start, end in parts)
    is_name = covered == len(word) and len(parts) <= len(word) // 3 + 1
    return parts if is_name else whole


def _term(word: str) -> str | None:
    """Return the term of a word; None for a stop word."""
    folded = _folded(word)[:TERM_CHARS_MAX]
    return None if folded in STOP else stem_of(folded)


def _folded(word: str) -> str:
    """Return a word without case, accents and compatibility forms."""
    if word.isascii():
        return word.lower()
    # Folding may decompose, and some decomposed letters fold.
    folded = unicodedata.normalize(
        "NFKC", unicodedata.normalize("NFKC", word).casefold()
    )
    folded = OPTIONAL.sub("", unicodedata.normalize("NFD", folded))
    return unicodedata.normalize("NFC", folded).translate(PLAIN)
