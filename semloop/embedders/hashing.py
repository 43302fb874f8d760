"""An embedder without a model, for tests and quick trials.

It compares words, not meanings: "car" and "automobile" are as far apart as any two
words. Its `semantic` is False.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

DIMENSION = 256
WORD = re.compile(r"\w+")


class Hashing:
    """Each word adds 1 at the index given by its hash; the sum is scaled to norm 1."""

    model_id = f"hashing/words/{DIMENSION}"
    dimension = DIMENSION
    semantic = False

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return the number of words of each text."""
        return [len(_words(text)) for text in texts]

    def embed(self, texts: Sequence[str]) -> "Vectors":
        """See `Embedder.embed`; the result is the same on every machine."""
        import numpy as np

        vectors = np.zeros((len(texts), DIMENSION), np.float32)
        for row, text in enumerate(texts):
            np.add.at(vectors[row], [_index(word) for word in _words(text)], 1)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def _words(text: str) -> list[str]:
    # A text without words is one word: a zero vector cannot be scaled.
    return WORD.findall(text.lower()) or [text]


def _index(word: str) -> int:
    # Not `hash()`, which differs between processes.
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest()) % DIMENSION
