"""An HTTP endpoint of OpenAI's form: OpenAI, Ollama, vLLM, llama.cpp and others.

An answer that does not come is asked for again after growing pauses. After many
failures in a row nothing is asked for a while, so that callers hear at once that there
is no use; then one request tries. Nothing of a text or an answer stands in an error.
"""

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from semloop.errors import ConfigError, EmbedderUnavailable, UnusableAnswer
from semloop.settings import Secret

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

# Pauses before a second, third and fourth try: a restart of a server takes that long.
PAUSES_S = (0.5, 2.0, 6.0)
# The longest pause that a busy server may ask for.
PAUSE_MAX_S = 30.0
# More than one text that always times out causes while its batch of 512 is halved.
FAILURES_MAX = 12
OPEN_S = 30.0
# 2,048 texts of 4,096 numbers with all their digits.
ANSWER_BYTES_MAX = 256 * 2**20
CHUNK_BYTES = 2**16
# Busy or broken for now; another try may do.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
# The fault of these texts, such as their length.
OF_TEXTS = frozenset({400, 413, 422})
# Characters of a token of common models, rather too few than too many.
TOKEN_CHARS = 3


class Endpoint:
    """Vectors from `POST {url}/embeddings`.

    Args:
        url: up to and without `/embeddings`.
        model: as the endpoint calls it.
        key: sent as a bearer token, if given.
        timeout_s: an answer is waited for so long.
        pause: sleeps for some seconds.

    Raises:
        ConfigError: the URL is none, or the endpoint refuses key or model.
        EmbedderUnavailable: it does not answer.
    """

    semantic = True

    def __init__(
        self,
        url: str,
        model: str,
        key: Secret | None = None,
        timeout_s: float = 30.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            msg = "Setting 'embedder_url' is neither http:// nor https://."
            raise ConfigError(msg, "Set it to such as http://localhost:11434/v1.")
        self._url = f"{url.rstrip('/')}/embeddings"
        self._model, self._key, self._timeout_s = model, key, timeout_s
        self._pause = pause
        self._failures = 0
        self._closed_at_s = 0.0
        # A redirect would carry texts and key to a server that nobody named.
        self._opener = urllib.request.build_opener(_NoRedirect)
        self.model_id = f"endpoint/{model}"
        self.dimension = 0
        self.dimension = self._probe()

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Estimated from characters: the endpoint's tokenizer is not known."""
        return [len(text) // TOKEN_CHARS + 2 for text in texts]

    def embed(self, texts: Sequence[str]) -> "Vectors":
        """See `Embedder.embed`."""
        import numpy as np

        if not texts:
            return np.empty((0, self.dimension), np.float32)
        if time.monotonic() < self._closed_at_s:
            said = f"it failed {FAILURES_MAX} times in a row"
            raise self._unavailable(said)
        body = json.dumps({"model": self._model, "input": list(texts)}).encode()
        return _vectors(self._answer(body, len(texts)), len(texts), self.dimension)

    def _probe(self) -> int:
        try:
            return int(self.embed(["dimension"]).shape[1])
        except UnusableAnswer as error:
            if error.reason == "timeout":
                said = "it does not answer"
                raise self._unavailable(said) from error
            msg = f"The endpoint gives no vectors of the model {self._model!r}: "
            msg += f"{error.reason}."
            todo = "Check SEMLOOP_EMBEDDER_URL and SEMLOOP_EMBEDDER_MODEL."
            raise ConfigError(msg, todo) from error

    def _answer(self, body: bytes, count: int) -> bytes:
        """What the endpoint answers, in at most `len(PAUSES_S) + 1` tries."""
        # Fewer texts at a time are a better second try, and of one there is one more.
        timeouts_left = 2 if count == 1 else 1
        for pause_s in (*PAUSES_S, None):
            asked_s: float | None = None
            timed_out = False
            try:
                answer = self._post(body)
                self._failures = 0
                return answer
            except urllib.error.HTTPError as error:
                with error:
                    self._refuse(error.code)
                    said, asked_s = f"status {error.code}", _asked_s(error)
            except TimeoutError:
                said, timed_out = f"no answer in {self._timeout_s:g} s", True
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                timed_out = isinstance(reason, TimeoutError)
                said = type(reason).__name__
            self._count_failure()
            if pause_s is None or time.monotonic() < self._closed_at_s:
                break
            timeouts_left -= timed_out
            if not timeouts_left:
                msg = f"The embedding endpoint gave {said}."
                raise UnusableAnswer(msg, reason="timeout")
            # Of many that wait not all come back at once.
            pause_s *= random.uniform(0.75, 1.25)  # noqa: S311, PLW2901
            self._pause(min(max(pause_s, asked_s or 0.0), PAUSE_MAX_S))
        raise self._unavailable(said)

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310
        ends_s = time.monotonic() + self._timeout_s
        with self._opener.open(request, timeout=self._timeout_s) as response:
            parts, size = [], 0
            # A server that sends a byte now and then must not hold us for ever.
            while chunk := response.read1(CHUNK_BYTES):
                size += len(chunk)
                if time.monotonic() > ends_s:
                    raise TimeoutError
                if size > ANSWER_BYTES_MAX:
                    msg = f"The endpoint's answer is over {ANSWER_BYTES_MAX} bytes."
                    raise UnusableAnswer(msg, reason="refused")
                parts.append(chunk)
        return b"".join(parts)

    def _refuse(self, status: int) -> None:
        if status in PASSING:
            return
        msg = f"The embedding endpoint answered with status {status}."
        if status in OF_TEXTS:
            self._failures = 0
            raise UnusableAnswer(msg, reason="refused")
        todo = "Check SEMLOOP_EMBEDDER_URL, SEMLOOP_EMBEDDER_MODEL and its key."
        raise ConfigError(msg, todo)

    def _count_failure(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            # One more failure after the pause closes it again.
            self._failures = FAILURES_MAX - 1
            self._closed_at_s = time.monotonic() + OPEN_S

    def _unavailable(self, said: str) -> EmbedderUnavailable:
        msg = f"The embedding endpoint is not available: {said}."
        return EmbedderUnavailable(msg, "Start it, or check SEMLOOP_EMBEDDER_URL.")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _vectors(content: bytes, count: int, dimension: int) -> "Vectors":
    import numpy as np

    try:
        rows = json.loads(content)["data"]
        if len(rows) != count:
            msg = f"The endpoint gave {len(rows)} vectors for {count} texts."
            raise UnusableAnswer(msg, reason="refused")
        rows = sorted(rows, key=lambda row: row.get("index", 0))
        vectors = np.array([row["embedding"] for row in rows], np.float64)
    except (ValueError, TypeError, KeyError, AttributeError):
        # Not JSON, not of that form, or vectors of several lengths.
        msg = "The endpoint's answer is not of OpenAI's form."
        raise UnusableAnswer(msg, reason="dimension") from None
    if vectors.ndim != 2 or vectors.shape[1] != (dimension or vectors.shape[1]):
        msg = f"The endpoint gave vectors of another length than {dimension}."
        raise UnusableAnswer(msg, reason="dimension")
    # What is not finite or zero stays so: whoever asked sees which texts they are.
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(norms == 0, 1, norms)).astype(np.float32)


def _asked_s(error: urllib.error.HTTPError) -> float | None:
    try:
        return float(error.headers.get("Retry-After", ""))
    except ValueError:
        return None  # None, or a date: our own pause will do.
