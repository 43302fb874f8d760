"""The default embedder: all-MiniLM-L6-v2 on onnxruntime, without torch."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semloop.errors import LakeError, MissingExtra
from semloop.extras import install_todo
from semloop.reporting import import_without_reports

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

VOCABULARY = Path(__file__).with_name("vocabulary.txt")
DIMENSION = 384
# The limit of sentence-transformers for this model, which was trained on shorter texts.
TOKENS_MAX = 256
# Texts are cut here before tokenizing: enough for 256 tokens of any natural language.
CHARS_MAX = 32_768


class Minilm:
    """Vectors of 384 numbers; mean cosine to the original float model above 0.99.

    Threads share one session, each embedding one text: on texts of usual length that is
    faster than several threads, or a padded batch, in one matrix product.

    Args:
        model: the graph, as `stored_model` returns it.
        threads: texts embedded at the same time; by default the number of processors.

    Raises:
        MissingExtra: onnxruntime or tokenizers is not installed.
        LakeError: onnxruntime cannot run this graph.
    """

    dimension = DIMENSION
    semantic = True

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        try:
            import tokenizers

            onnxruntime = import_without_reports("onnxruntime")
        except ModuleNotFoundError as error:
            msg = f"The package {error.name!r} is not installed."
            raise MissingExtra(msg, install_todo("query")) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common class
            msg = f"onnxruntime cannot run the lake's model: {type(error).__name__}."
            todo = "Run: pip install -U onnxruntime, or use the version that built it."
            raise LakeError(msg, todo) from error
        self._tokenizer: Any = tokenizers.BertWordPieceTokenizer(str(VOCABULARY))
        self._tokenizer.enable_truncation(TOKENS_MAX)
        self._pool = ThreadPoolExecutor(threads or len(os.sched_getaffinity(0)))
        digest = hashlib.sha256(model).hexdigest()
        self.model_id = f"all-MiniLM-L6-v2/int8/{digest[:8]}"

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, 2 to 256."""
        return [len(encoding) for encoding in self._tokenize(texts)]

    def embed(self, texts: Sequence[str]) -> "Vectors":
        """See `Embedder.embed`; a vector does not depend on the other texts."""
        import numpy as np

        vectors = np.empty((len(texts), DIMENSION), np.float32)
        ids = [encoding.ids for encoding in self._tokenize(texts)]
        if len(ids) == 1:
            # A query: a change of threads takes longer than it, if all are busy.
            vectors[0] = self._vector(ids[0])
            return vectors
        # Longest first, so that no thread starts a long text when the others are done.
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        computed = self._pool.map(self._vector, (ids[row] for row in order))
        for row, vector in zip(order, computed, strict=True):
            vectors[row] = vector
        return vectors

    def _vector(self, ids: list[int]) -> Any:
        import numpy as np

        return self._session.run(None, {"input_ids": np.array([ids], np.int64)})[0]

    def _tokenize(self, texts: Sequence[str]) -> list[Any]:
        # The tokenizer does not accept lone surrogates.
        clean = [text[:CHARS_MAX].encode("utf-8", "replace").decode() for text in texts]
        encodings: list[Any] = self._tokenizer.encode_batch(clean)
        return encodings
