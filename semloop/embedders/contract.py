"""What turns texts into vectors: the contract of every embedder.

Flows and queries use the same embedder, or their vectors could not be compared; so the
model's id stands in every row, and another model means another table.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """A model that turns texts into vectors whose dot product says how near they are.

    An embedder may be used by several threads at once.
    """

    @property
    def model_id(self) -> str:
        """Names weights and arithmetic: equal ids, comparable vectors."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    @property
    def semantic(self) -> bool:
        """Whether near means alike in meaning, not only in words."""

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens that the model reads of each text; estimated where it is not known."""

    def embed(self, texts: Sequence[str]) -> "Vectors":
        """Texts -> float32 [n, dimension], each row of length 1 and in their order.

        A text longer than the model reads counts by its beginning.

        Raises:
            UnusableAnswer: what came back are no such vectors; fewer texts may do.
            EmbedderUnavailable: the model does not answer, whatever the texts are.
        """
