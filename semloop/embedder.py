"""What turns texts into vectors: the contract, and the embedder that the settings name.

Flows and queries use the same embedder, or their vectors could not be compared; so the
model's id stands in every row, and another model means another table.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from semloop.errors import ConfigError, Terminal, Transient
from semloop.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

# Why a text got no vector: not finite; not of the model's length; length zero; no
# answer in time; the model refused it, as one may that is too long.
Reason = Literal["nan", "dimension", "zero", "timeout", "refused"]


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


class UnusableAnswer(Terminal):
    """The model gave no usable vectors for these texts; `reason` says why."""

    def __init__(self, what: str, reason: Reason) -> None:
        super().__init__(what, "The text is skipped and counted by its reason.")
        self.reason: Reason = reason


class EmbedderUnavailable(Transient):
    """The model did not answer in time, again and again."""


def embedder_of(settings: Settings) -> Embedder:
    """The embedder that the settings name, ready to use.

    Raises:
        MissingExtra: its packages are not installed.
        ConfigError: a setting of it is missing or wrong.
        LakeError: the model that the lake keeps is damaged or cannot be kept.
        EmbedderUnavailable: the endpoint does not answer.
    """
    match settings.embedder:
        case "minilm":
            from semloop.embedding.kept_model import kept_model
            from semloop.embedding.minilm import Minilm
            from semloop.storage import Storage

            return Minilm(kept_model(Storage.of(settings)))
        case "hashing":
            from semloop.embedding.hashing import Hashing

            return Hashing()
        case "endpoint":
            from semloop.embedding.endpoint import Endpoint

            url = _wanted("embedder_url", settings.embedder_url, settings)
            model = _wanted("embedder_model", settings.embedder_model, settings)
            timeout_s = settings.embedder_timeout_s
            return Endpoint(url, model, settings.embedder_key, timeout_s)
        case "sentence-transformers":
            from semloop.embedding.torch_model import TorchModel

            return TorchModel(
                _wanted("embedder_model", settings.embedder_model, settings)
            )


def _wanted(name: str, value: str | None, settings: Settings) -> str:
    if value:
        return value
    msg = f"The embedder {settings.embedder!r} needs the setting {name!r}."
    raise ConfigError(msg, f"Set SEMLOOP_{name.upper()}.")
