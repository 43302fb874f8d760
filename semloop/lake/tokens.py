"""Bounds on the tokens of recalled texts, which an agent's model reads."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

# English has about four bytes a token, code and names less. A Chinese character, which
# has three bytes, is about one token.
TOKEN_BYTES = 3
TEXTS = ("text", "context", "after")


def estimate_tokens(text: str) -> int:
    """Return the estimated number of tokens of a text, for any model.

    It is a token per three bytes of UTF-8, rounded up: more than most models count for
    prose. NOTE: not the tokenizer of the embedder, for which a word of a hundred
    characters, or one in a script that it does not know, is a single token.
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // TOKEN_BYTES)


def within_tokens(hits: "pa.Table", tokens: int | None) -> "pa.Table":
    """Return the first hits, whose texts have at most `tokens` tokens in all."""
    if tokens is None:
        return hits
    columns = [hits[name].to_pylist() for name in TEXTS]
    for count, texts in enumerate(zip(*columns, strict=True)):
        tokens -= sum(estimate_tokens(text) for text in texts if text)
        if tokens < 0:
            return hits.slice(0, count)
    return hits
