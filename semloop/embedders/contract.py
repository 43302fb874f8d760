"""The interface of all embedders, which turn texts into vectors.

Flows and queries must use the same embedder, since vectors of two models cannot be
compared. Every row stores the model's id, and another model needs another table.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """A model that turns texts into vectors whose dot product is their similarity.

    Embedders are thread-safe.
    """

    @property
    def model_id(self) -> str:
        """Id of weights and arithmetic: vectors with equal ids can be compared."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    @property
    def semantic(self) -> bool:
        """True if similarity is that of meanings, not only of words."""

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens per text that the model reads; may be an estimate."""

    def embed(self, texts: Sequence[str]) -> "Vectors":
        """Embed texts as float32 [n, dimension], in their order, each row of norm 1.

        A text longer than the model's maximum is truncated.

        Raises:
            UnusableAnswer: the model returned no valid vectors for these texts; fewer
                texts may succeed.
            EmbedderUnavailable: the model does not answer, for any text.
        """
