"""An OpenAI-compatible HTTP endpoint: OpenAI, Ollama, vLLM, llama.cpp and others.

Failed requests are retried with growing pauses. After many failures in a row a circuit
breaker refuses all requests for a while, so that callers see immediately that the
endpoint is down; then one request tries again. Errors contain no text and no response.
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
# Longest pause that a `Retry-After` header can cause.
PAUSE_MAX_S = 30.0
# About 0.5, 2 and 8 s, to cover the restart of a server. The jitter keeps clients that
# failed together from retrying together.
GROWING_PAUSE = tenacity.wait_exponential_jitter(
    multiplier=0.5, exp_base=4, max=PAUSE_MAX_S, jitter=0.25
)
# More failures than bisecting a batch of 512 causes if one text always times out.
FAILURES_MAX = 12
OPEN_S = 30.0
# 2,048 vectors of 4,096 numbers with all their digits.
RESPONSE_BYTES_MAX = 256 * 2**20
# Busy or temporarily broken: another attempt may succeed.
RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
# Caused by the texts, for example by their length.
BAD_INPUT_STATUS = frozenset({400, 413, 422})
# Characters per token of common models; a low estimate, so that counts are not too low.
TOKEN_CHARS = 3


class Endpoint:
    """Vectors from `POST {url}/embeddings`.

    Args:
        url: base URL, without `/embeddings`.
        model: name of the model at the endpoint.
        key: sent as a bearer token, if given.
        timeout_s: maximum time for a complete response.
        sleep: called with the seconds to wait between two attempts.

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
            todo = "Set SEMLOOP_EMBEDDER_URL, for example to http://localhost:11434/v1."
            raise ConfigError(msg, todo)
        base = httpx2.URL(url)
        self._url = base.copy_with(path=f"{base.path.rstrip('/')}/embeddings")
        self._model, self._timeout_s, self._sleep = model, timeout_s, sleep
        headers = {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}
        # A redirect would send texts and key to a server that is not in the settings.
        self._client = httpx2.Client(
            headers=headers, timeout=timeout_s, follow_redirects=False
        )
        # A refusal by the endpoint is a response, so the breaker counts it as success.
        self._breaker = CircuitBreaker(FAILURES_MAX, OPEN_S, httpx2.HTTPError)
        self.model_id = f"endpoint/{model}"
        self.dimension = 0
        self.dimension = self._probe()

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Estimate from characters: the endpoint's tokenizer is not known."""
        return [len(text) // TOKEN_CHARS + 2 for text in texts]

    def embed(self, texts: Sequence[str]) -> "Vectors":
        """See `Embedder.embed`."""
        import numpy as np

        if not texts:
            return np.empty((0, self.dimension), np.float32)
        return _vectors(self._request(texts), len(texts), self.dimension)

    def _probe(self) -> int:
        try:
            return int(self.embed(["dimension"]).shape[1])
        except UnusableAnswer as error:
            if error.reason == "timeout":
                reason = "it does not answer"
                raise _unavailable(reason) from error
            msg = f"The embedding endpoint returns no vectors of model {self._model!r}"
            msg += f": {error.reason}."
            todo = "Check SEMLOOP_EMBEDDER_URL and SEMLOOP_EMBEDDER_MODEL."
            raise ConfigError(msg, todo) from error

    def _request(self, texts: Sequence[str]) -> bytes:
        """Return the response body, after at most `ATTEMPTS` attempts."""
        body = {"model": self._model, "input": list(texts)}
        # A batch that times out is not retried: the caller sends smaller ones. A
        # single text is tried twice.
        timeouts_left = 2 if len(texts) == 1 else 1

        def retryable(error: BaseException) -> bool:
            nonlocal timeouts_left
            timeouts_left -= isinstance(error, httpx2.TimeoutException)
            http_error = isinstance(error, httpx2.HTTPError)
            return http_error and timeouts_left > 0 and not self._breaker.opened

        if self._breaker.opened:
            reason = f"it failed {FAILURES_MAX} times in a row"
            raise _unavailable(reason)
        # Not stamina: outside our flows its default hook would log the texts.
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(retryable),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=_pause_s,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._post, body)
        except httpx2.HTTPStatusError as error:
            reason = f"status {error.response.status_code}"
        except httpx2.TimeoutException:
            reason = f"no response within {self._timeout_s:g} s"
            if not timeouts_left and not self._breaker.opened:
                msg = f"The embedding endpoint sent {reason}."
                raise UnusableAnswer(msg, reason="timeout") from None
        except httpx2.HTTPError as error:
            reason = type(error).__name__
        raise _unavailable(reason)

    def _post(self, body: object) -> bytes:
        deadline_s = time.monotonic() + self._timeout_s
        content = bytearray()
        with self._breaker, self._client.stream("POST", self._url, json=body) as stream:
            _check_status(stream)
            for part in stream.iter_bytes():
                content += part
                # The client's own timeout restarts with every byte received.
                if time.monotonic() > deadline_s:
                    msg = "the complete response"
                    raise httpx2.ReadTimeout(msg)
                if len(content) > RESPONSE_BYTES_MAX:
                    msg = "The embedding endpoint's response is longer than "
                    msg += f"{RESPONSE_BYTES_MAX} bytes."
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
    todo = (
        "Check SEMLOOP_EMBEDDER_URL, SEMLOOP_EMBEDDER_MODEL and SEMLOOP_EMBEDDER_KEY."
    )
    raise ConfigError(msg, todo)


def _pause_s(state: tenacity.RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    if isinstance(error, httpx2.HTTPStatusError):
        # A header that is missing or a date is ignored.
        with suppress(ValueError):
            pause_s = float(error.response.headers.get("Retry-After", ""))
            return min(pause_s, PAUSE_MAX_S)
    return GROWING_PAUSE(state)


def _unavailable(reason: str) -> EmbedderUnavailable:
    msg = f"The embedding endpoint is not available: {reason}."
    return EmbedderUnavailable(msg, "Start it, or check SEMLOOP_EMBEDDER_URL.")


def _vectors(content: bytes, count: int, dimension: int) -> "Vectors":
    import numpy as np

    try:
        rows = json.loads(content)["data"]
        if len(rows) != count:
            msg = f"The embedding endpoint returned {len(rows)} vectors "
            msg += f"for {count} texts."
            raise UnusableAnswer(msg, reason="refused")
        rows = sorted(rows, key=lambda row: row.get("index", 0))
        vectors = np.array([row["embedding"] for row in rows], np.float64)
    except (ValueError, TypeError, KeyError, AttributeError):
        # Not JSON, not OpenAI's format, or vectors of several lengths.
        msg = "The embedding endpoint's response is not in OpenAI's format."
        raise UnusableAnswer(msg, reason="dimension") from None
    if vectors.ndim != 2 or vectors.shape[1] != (dimension or vectors.shape[1]):
        msg = "The embedding endpoint returned vectors whose length is not "
        msg += f"{dimension}."
        raise UnusableAnswer(msg, reason="dimension")
    # Zero and non-finite vectors stay as they are: the caller skips their texts.
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(norms == 0, 1, norms)).astype(np.float32)
