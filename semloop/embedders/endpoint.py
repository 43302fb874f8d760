"""An HTTP endpoint of OpenAI's form: OpenAI, Ollama, vLLM, llama.cpp and others.

A request that fails is repeated after growing pauses. After many failures in a row a
circuit breaker refuses all requests for a while, so that callers learn at once that the
endpoint is down; then one request tries again. No error contains a text or an answer.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx2
import tenacity
from circuitbreaker import CircuitBreaker

from semloop.errors import ConfigError, EmbedderUnavailable, UnusableAnswer
from semloop.settings import Secret

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

ATTEMPTS = 4
# The longest pause that a busy server may ask for.
PAUSE_MAX_S = 30.0
# About 0.5, 2 and 8 s: as long as a server restarts. The jitter keeps clients that
# failed together from returning together.
GROWING_PAUSE = tenacity.wait_exponential_jitter(
    multiplier=0.5, exp_base=4, max=PAUSE_MAX_S, jitter=0.25
)
# More failures than one text that always times out causes while its batch of 512 is
# bisected.
FAILURES_MAX = 12
OPEN_S = 30.0
# 2,048 texts of 4,096 numbers with all their digits.
ANSWER_BYTES_MAX = 256 * 2**20
# Busy or broken for now; another attempt may succeed.
RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
# The fault of these texts, such as their length.
BAD_INPUT_STATUS = frozenset({400, 413, 422})
# Characters of a token of common models, rather too few than too many.
TOKEN_CHARS = 3


class Endpoint:
    """Vectors from `POST {url}/embeddings`.

    Args:
        url: the base URL, without `/embeddings`.
        model: the model's name at the endpoint.
        key: sent as a bearer token, if given.
        timeout_s: the longest time to wait for a whole answer.
        sleep: waits for a number of seconds between two attempts.

    Raises:
        ConfigError: the URL is invalid, or the endpoint refuses the key or the model.
        EmbedderUnavailable: the endpoint does not answer.
    """

    semantic = True

    def __init__(
        self,
        url: str,
        model: str,
        key: Secret | None = None,
        timeout_s: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not _is_web_address(url):
            msg = "Setting 'embedder_url' is not a valid http:// or https:// URL."
            raise ConfigError(msg, "Set it to such as http://localhost:11434/v1.")
        self._url = f"{url.rstrip('/')}/embeddings"
        self._model, self._timeout_s, self._sleep = model, timeout_s, sleep
        headers = {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}
        # A redirect would carry texts and key to a server that nobody named.
        self._client = httpx2.Client(
            headers=headers, timeout=timeout_s, follow_redirects=False
        )
        # What the endpoint refuses is an answer: it counts as a success.
        self._breaker = CircuitBreaker(FAILURES_MAX, OPEN_S, httpx2.HTTPError)
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
        return _vectors(self._answer(texts), len(texts), self.dimension)

    def _probe(self) -> int:
        try:
            return int(self.embed(["dimension"]).shape[1])
        except UnusableAnswer as error:
            if error.reason == "timeout":
                reason = "it does not answer"
                raise _unavailable(reason) from error
            msg = f"The endpoint gives no vectors of the model {self._model!r}: "
            msg += f"{error.reason}."
            todo = "Check SEMLOOP_EMBEDDER_URL and SEMLOOP_EMBEDDER_MODEL."
            raise ConfigError(msg, todo) from error

    def _answer(self, texts: Sequence[str]) -> bytes:
        """The endpoint's answer, in at most `ATTEMPTS` attempts."""
        body = {"model": self._model, "input": list(texts)}
        # Several texts that time out are better sent again in smaller batches; a
        # single one is sent twice.
        timeouts_left = 2 if len(texts) == 1 else 1

        def may_pass(error: BaseException) -> bool:
            nonlocal timeouts_left
            timeouts_left -= isinstance(error, httpx2.TimeoutException)
            passing = isinstance(error, httpx2.HTTPError)
            return passing and timeouts_left > 0 and not self._breaker.opened

        if self._breaker.opened:
            reason = f"it failed {FAILURES_MAX} times in a row"
            raise _unavailable(reason)
        # Not stamina: outside our flows its default hook would log the texts.
        attempt = tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_pass),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=_pause_s,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return attempt(self._post, body)
        except httpx2.HTTPStatusError as error:
            reason = f"status {error.response.status_code}"
        except httpx2.TimeoutException:
            reason = f"no answer in {self._timeout_s:g} s"
            if not timeouts_left and not self._breaker.opened:
                msg = f"The embedding endpoint gave {reason}."
                raise UnusableAnswer(msg, reason="timeout") from None
        except httpx2.HTTPError as error:
            reason = type(error).__name__
        raise _unavailable(reason)

    def _post(self, body: object) -> bytes:
        ends_s = time.monotonic() + self._timeout_s
        content = bytearray()
        with self._breaker, self._client.stream("POST", self._url, json=body) as answer:
            _check_status(answer)
            for part in answer.iter_bytes():
                content += part
                # The client's own time limit restarts with every byte received.
                if time.monotonic() > ends_s:
                    msg = "the whole answer"
                    raise httpx2.ReadTimeout(msg)
                if len(content) > ANSWER_BYTES_MAX:
                    msg = f"The endpoint's answer is over {ANSWER_BYTES_MAX} bytes."
                    raise UnusableAnswer(msg, reason="refused")
        return bytes(content)


def _is_web_address(url: str) -> bool:
    try:
        parts = httpx2.URL(url)
    except httpx2.InvalidURL:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.host)


def _check_status(response: httpx2.Response) -> None:
    status = response.status_code
    if response.is_success:
        return
    if status in RETRYABLE_STATUS:
        response.raise_for_status()
    msg = f"The embedding endpoint answered with status {status}."
    if status in BAD_INPUT_STATUS:
        raise UnusableAnswer(msg, reason="refused")
    todo = "Check SEMLOOP_EMBEDDER_URL, SEMLOOP_EMBEDDER_MODEL and its key."
    raise ConfigError(msg, todo)


def _pause_s(state: tenacity.RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    if isinstance(error, httpx2.HTTPStatusError):
        with suppress(ValueError):  # It is missing, or a date: our own pause will do.
            asked_s = float(error.response.headers.get("Retry-After", ""))
            return min(asked_s, PAUSE_MAX_S)
    return GROWING_PAUSE(state)


def _unavailable(reason: str) -> EmbedderUnavailable:
    msg = f"The embedding endpoint is not available: {reason}."
    return EmbedderUnavailable(msg, "Start it, or check SEMLOOP_EMBEDDER_URL.")


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
