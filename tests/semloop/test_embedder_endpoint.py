"""The client of an embedding endpoint, with correct and with failing servers."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from semloop.embedders import endpoint as endpoint_module
from semloop.embedders.endpoint import Endpoint
from semloop.embedders.factory import embedder_of
from semloop.errors import ConfigError, EmbedderUnavailable, UnusableAnswer
from semloop.settings import Secret, load
from tests.semloop.an_endpoint import Answer, an_endpoint, body_of, good, vectors_of

SECRET_TEXT = "text that must not be shown"


def endpoint_at(url: str, timeout_s: float = 20) -> tuple[Endpoint, list[float]]:
    pauses: list[float] = []
    return Endpoint(url, "m", None, timeout_s, pauses.append), pauses


def after_the_probe(answer: Answer) -> Answer:
    """Answer the request of the constructor correctly, later ones by `answer`."""
    return lambda texts, number: good(texts) if number == 1 else answer(texts, number)


def test_requests_use_the_settings_and_openais_format() -> None:
    with an_endpoint(good) as server:
        settings = load(
            {},
            embedder="endpoint",
            embedder_url=f"{server.url}/",
            embedder_model="nomic",
            embedder_key="k3y",
        )
        embedder = embedder_of(settings)
        vectors = embedder.embed(["bb", "a", ""])
    assert (embedder.model_id, embedder.dimension) == ("endpoint/nomic", 5)
    assert embedder.semantic
    assert server.requests[1] == {
        "path": "/v1/embeddings", "model": "nomic", "input": ["bb", "a", ""],
    }  # fmt: skip
    assert server.headers[1]["Authorization"] == "Bearer k3y"
    raw = np.array(vectors_of(["bb", "a", ""]))
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert embedder.embed([]).shape == (0, 5)


@pytest.mark.parametrize("missing", ["embedder_url", "embedder_model"])
def test_the_error_names_a_missing_setting(missing: str) -> None:
    given: dict[str, Any] = {
        "embedder_url": "http://x",
        "embedder_model": "m",
        missing: None,
    }
    with pytest.raises(ConfigError, match=f"needs the setting '{missing}'"):
        embedder_of(load({}, embedder="endpoint", **given))


@pytest.mark.parametrize(
    "url", ["file:///passwd", "http://host:passwd", "http:///passwd"]
)
def test_an_invalid_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError, match="not a valid http") as error:
        Endpoint(url, "m", Secret("k"))
    assert "passwd" not in str(error.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_request_to_a_busy_server_is_retried(status: int) -> None:
    def busy_twice(texts: list[str], number: int) -> tuple[int, dict[str, str], bytes]:
        return (status, {}, b"busy") if number in (2, 3) else good(texts)

    with an_endpoint(busy_twice) as server:
        endpoint, pauses = endpoint_at(server.url)
        assert endpoint.embed(["a"]).shape == (1, 5)
    assert len(pauses) == 2
    assert pauses[0] < pauses[1]


@pytest.mark.parametrize(("retry_after", "pause"), [("12", 12), ("99999", 30)])
def test_the_pause_is_that_of_retry_after_up_to_a_maximum(
    retry_after: str, pause: float
) -> None:
    def busy(texts: list[str], number: int) -> tuple[int, dict[str, str], bytes]:
        headers = {"Retry-After": retry_after}
        return (429, headers, b"") if number == 2 else good(texts)

    with an_endpoint(busy) as server:
        endpoint, pauses = endpoint_at(server.url)
        endpoint.embed(["a"])
    assert pauses == [pause]


def test_the_circuit_breaker_opens_after_many_failures_and_closes_after_a_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 0.0
    monkeypatch.setattr("circuitbreaker.monotonic", lambda: now_s)
    with an_endpoint(after_the_probe(lambda _t, _n: (503, {}, b"no"))) as server:
        endpoint, _ = endpoint_at(server.url)
        for _ in range(3):
            with pytest.raises(EmbedderUnavailable, match="status 503"):
                endpoint.embed([SECRET_TEXT])
        requests = len(server.requests)
        assert requests == 1 + endpoint_module.FAILURES_MAX
        with pytest.raises(EmbedderUnavailable, match="in a row") as error:
            endpoint.embed([SECRET_TEXT])
        assert len(server.requests) == requests
        assert SECRET_TEXT not in str(error.value)
        # Later one request is let through; its failure opens the breaker again.
        now_s += endpoint_module.OPEN_S
        with pytest.raises(EmbedderUnavailable):
            endpoint.embed(["a"])
        assert len(server.requests) == requests + 1
        now_s += endpoint_module.OPEN_S
        server.answer = good
        assert endpoint.embed(["a"]).shape == (1, 5)


def test_a_cut_or_refused_connection_is_retried_and_then_unavailable() -> None:
    with an_endpoint(after_the_probe(lambda _t, _n: None)) as server:
        endpoint, pauses = endpoint_at(server.url)
        with pytest.raises(EmbedderUnavailable, match="RemoteProtocolError"):
            endpoint.embed(["a"])
        assert len(pauses) == endpoint_module.ATTEMPTS - 1
    with pytest.raises(EmbedderUnavailable, match="ConnectError"):
        endpoint.embed(["a"])
    with pytest.raises(EmbedderUnavailable, match="not available"):
        endpoint_at(server.url)


def test_a_timeout_is_an_unusable_answer_so_that_callers_halve_the_batch() -> None:
    release = threading.Event()

    def stuck(_texts: list[str], _number: int) -> None:
        release.wait(60)

    with an_endpoint(after_the_probe(stuck)) as server:
        endpoint, _ = endpoint_at(server.url, timeout_s=1.0)
        try:
            with pytest.raises(UnusableAnswer) as many:
                endpoint.embed(["a", "b"])
            assert len(server.requests) == 2
            with pytest.raises(UnusableAnswer) as one:
                endpoint.embed(["a"])
            assert len(server.requests) == 4
            server.answer = stuck
            with pytest.raises(EmbedderUnavailable, match="does not answer"):
                endpoint_at(server.url, timeout_s=1.0)
        finally:
            release.set()
    assert (many.value.reason, one.value.reason) == ("timeout", "timeout")


def test_the_timeout_covers_the_whole_response() -> None:
    stop = threading.Event()

    def endless_bytes() -> Iterator[bytes]:
        while not stop.wait(0.05):
            yield b" "

    with an_endpoint(after_the_probe(lambda _t, _n: (200, {}, endless_bytes()))) as s:
        endpoint, _ = endpoint_at(s.url, timeout_s=1.0)
        try:
            with pytest.raises(UnusableAnswer) as error:
                endpoint.embed(["a"])
        finally:
            stop.set()
    assert error.value.reason == "timeout"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_refused_texts_are_unusable_without_a_retry(status: int) -> None:
    refuses = after_the_probe(lambda _t, _n: (status, {}, SECRET_TEXT.encode()))
    with an_endpoint(refuses) as server:
        endpoint, pauses = endpoint_at(server.url)
        with pytest.raises(UnusableAnswer) as error:
            endpoint.embed([SECRET_TEXT])
    assert error.value.reason == "refused"
    assert SECRET_TEXT not in str(error.value)
    assert pauses == []


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404])
def test_a_wrong_key_url_or_model_is_a_config_error(status: int) -> None:
    elsewhere = {"Location": "http://127.0.0.1:9/elsewhere"}
    with an_endpoint(lambda _t, _n: (status, elsewhere, b"")) as server:
        with pytest.raises(ConfigError, match=f"status {status}"):
            endpoint_at(server.url)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>", "dimension"),
        (b"[]", "dimension"),
        (b'{"data": 3}', "dimension"),
        (b'{"data": [1]}', "dimension"),
        (b'{"error": "no"}', "dimension"),
        (body_of([[1.0, 2.0]]), "dimension"),
        (body_of([[1, 2, 3, 4, "x"]]), "dimension"),
        (body_of([[1.0] * 5, [1.0] * 5]), "refused"),
        (body_of([]), "refused"),
    ],
)
def test_a_response_in_another_format_is_refused(content: bytes, reason: str) -> None:
    with an_endpoint(after_the_probe(lambda _t, _n: (200, {}, content))) as server:
        endpoint, _ = endpoint_at(server.url)
        with pytest.raises(UnusableAnswer) as error:
            endpoint.embed(["a"])
    assert error.value.reason == reason


def test_zero_and_non_finite_vectors_are_returned_for_the_caller_to_skip() -> None:
    rows = [[float("nan")] * 5, [float("inf")] + [1.0] * 4, [0.0] * 5, [1e308] * 5]
    content = json.dumps(
        {"data": [{"index": n, "embedding": row} for n, row in enumerate(rows)]}
    )
    with an_endpoint(
        after_the_probe(lambda _t, _n: (200, {}, content.encode()))
    ) as server:
        vectors = endpoint_at(server.url)[0].embed(["a", "b", "c", "d"])
    assert not np.isfinite(vectors[0]).any()
    assert not np.isfinite(vectors[1]).all()
    assert not vectors[2].any()


def test_creating_an_endpoint_without_the_model_is_an_error() -> None:
    with (
        an_endpoint(lambda _t, _n: (400, {}, b"no such model")) as server,
        pytest.raises(ConfigError, match="returns no vectors of model 'm': refused"),
    ):
        endpoint_at(server.url)
