"""Any sentence-transformers model, by name or path; on a GPU if available."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semloop.errors import ConfigError, MissingExtra
from semloop.extras import install_todo
from semloop.reporting import import_without_reports

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors


class TorchModel:
    """A published model, run unchanged by sentence-transformers.

    Args:
        name: name of the model on Hugging Face, or path of its folder.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        ConfigError: the model cannot be loaded.
    """

    semantic = True

    def __init__(self, name: str) -> None:
        try:
            library = import_without_reports("sentence_transformers")
        except ModuleNotFoundError:
            msg = "The package 'sentence_transformers' is not installed."
            raise MissingExtra(msg, install_todo("models")) from None
        # The files of a local model are complete: nothing is looked up for it.
        local = Path(name).is_dir()
        try:
            self._model = library.SentenceTransformer(name, local_files_only=local)
        except (OSError, ValueError, RuntimeError) as error:
            msg = f"The model {name!r} cannot be loaded: {type(error).__name__}."
            todo = "Set SEMLOOP_EMBEDDER_MODEL to the path of a model's folder."
            raise ConfigError(msg, todo) from error
        digest = hashlib.sha256()
        for key, weight in sorted(self._model.state_dict().items()):
            digest.update(key.encode() + weight.cpu().float().numpy().tobytes())
        stem = name.rstrip("/").rpartition("/")[2]
        self.model_id = f"{stem}/torch/{digest.hexdigest()[:8]}"
        self.dimension = int(self._model.get_embedding_dimension() or 0)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Count tokens by the model's tokenizer, up to the model's maximum."""
        encoded = self._model.tokenizer(
            list(texts), truncation=True, max_length=self._model.max_seq_length
        )
        return [len(ids) for ids in encoded["input_ids"]]

    def embed(self, texts: Sequence[str]) -> "Vectors":
        """See `Embedder.embed`."""
        import numpy as np

        if not texts:
            return np.empty((0, self.dimension), np.float32)
        vectors = self._model.encode(
            list(texts), normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, np.float32)
