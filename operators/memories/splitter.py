"""Splits texts into parts that a model embeds without truncation.

Tokens are counted by the vocabulary that ships with SemLoop, for every embedder, so
that the texts of memories do not depend on the model.
"""

import unicodedata
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from semloop.embedders.minilm import VOCABULARY
from semloop.extras import need

# Maximum of a part and its speaker: minilm reads 256 tokens and adds two of its own.
TOKENS_MAX = 240
# The tokenizer replaces a longer word by one token, so no word has more.
WORD_TOKENS_MAX = 100
# Maximum of a part in characters: a long word, or a text without spaces, may be one
# token.
CHARS_MAX = 2_000
SENTENCE_ENDS = (".", "!", "?", "…")
# Chinese and Japanese sentence ends, which no space follows.
WIDE_ENDS = ("。", "\uff01", "\uff1f")
# Characters allowed between the end of a sentence and the space after it.
CLOSING = "\"')]}»”\u2019」』\uff09"


def perhaps_long(texts: pa.Array) -> list[int]:
    """Return the rows that may have more than `TOKENS_MAX` tokens, without tokenizing.

    A token is at least one character of a text's canonical decomposition. Characters of
    the text itself are not a bound: a Korean syllable is up to three tokens.
    """
    rows = pc.indices_nonzero(pc.greater(pc.binary_length(texts), TOKENS_MAX))
    lengths = pc.utf8_length(pc.utf8_normalize(texts.take(rows), "NFD"))
    long: list[int] = rows.filter(pc.greater(lengths, TOKENS_MAX)).to_pylist()
    return long


def token_count(text: str) -> int:
    """Return the number of tokens of a text, without those that a model adds.

    Raises:
        MissingExtra: tokenizers is not installed.
    """
    return len(_encoded(text))


def parts_of(text: str, tokens: int = TOKENS_MAX) -> list[str]:
    """Split a text into parts of at most `tokens` tokens; only spaces are dropped.

    A part ends at the end of a sentence in its last third, else at a space there, else
    between any two words; punctuation and Chinese characters are words too. A blank
    text has no parts.

    Raises:
        MissingExtra: tokenizers is not installed.
    """
    assert tokens >= WORD_TOKENS_MAX, "a part must be large enough for any word"
    text = text.strip()
    if not text or _is_short(text, tokens):
        return [text] if text else []
    encoding = _encoded(text)
    spans, words = encoding.offsets, encoding.word_ids
    parts = []
    begin = first = 0
    while len(spans) - first > tokens:
        beyond = first + tokens
        # Each word is tokenized separately, so a split between words keeps its tokens.
        between = [n for n in range(beyond, first, -1) if words[n - 1] != words[n]]
        late = [n for n in between if n > beyond - tokens // 3]
        ends = {n: spans[n - 1][1] for n in between}
        first = (
            next((n for n in late if _ends_sentence(text, ends[n])), None)
            or next((n for n in late if _is_space(text, ends[n])), None)
            or between[0]
        )
        parts.append(text[begin : spans[first][0]].rstrip())
        begin = spans[first][0]
    return [piece for part in [*parts, text[begin:]] for piece in _pieces(part, tokens)]


def _pieces(part: str, tokens: int) -> list[str]:
    """Split a part of too many characters, at a space if there is one near the end."""
    if len(part) <= CHARS_MAX:
        return [part]
    pieces = []
    while len(part) > CHARS_MAX:
        end = part.rfind(" ", CHARS_MAX * 2 // 3, CHARS_MAX)
        end = end if end > 0 else CHARS_MAX
        # A mark belongs to the letter before it.
        while end > CHARS_MAX // 2 and unicodedata.category(part[end])[0] == "M":
            end -= 1
        pieces.append(part[:end].rstrip())
        part = part[end:].lstrip()
    # What is left of a long word may have more tokens than the whole word.
    return [short for piece in [*pieces, part] for short in parts_of(piece, tokens)]


def _is_short(text: str, tokens: int) -> bool:
    """Return True if a text is short by the bound of `perhaps_long`."""
    if len(text) > tokens:
        return False
    return text.isascii() or len(unicodedata.normalize("NFD", text)) <= tokens


def _ends_sentence(text: str, end: int) -> bool:
    last = text[max(end - 3, 0) : end].rstrip(CLOSING)
    if last.endswith(WIDE_ENDS):
        return True
    return last.endswith(SENTENCE_ENDS) and _is_space(text, end)


def _is_space(text: str, index: int) -> bool:
    return text[index : index + 1].isspace()


def _encoded(text: str) -> Any:
    return _tokenizer().encode(text, add_special_tokens=False)


@cache
def _tokenizer() -> Any:
    return need("tokenizers").BertWordPieceTokenizer(str(VOCABULARY))
