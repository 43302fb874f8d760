"""A small embedding endpoint whose responses, right or wrong, the test chooses."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# (texts, number of the request) -> status, headers, body; None closes the connection. A
# body in several parts is sent part by part.
Body = bytes | Iterable[bytes]
Answer = Callable[[list[str], int], tuple[int, dict[str, str], Body] | None]


class AnEndpoint:
    """The server; `requests` and `headers` record what it received."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answer = answer
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.requests.append({"path": self.path, **json.loads(body)})
                endpoint.headers.append(dict(self.headers))
                texts = endpoint.requests[-1]["input"]
                answer = endpoint.answer(texts, len(endpoint.requests))
                if answer is None:
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if isinstance(content, bytes):
                    self.send_header("Content-Length", str(len(content)))
                    content = [content]
                self.end_headers()
                for part in content:
                    self.wfile.write(part)

            def log_message(self, *_: object) -> None:
                pass

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: clients that time out close their connections."""


@contextmanager
def an_endpoint(answer: Answer) -> Iterator[AnEndpoint]:
    endpoint = AnEndpoint(answer)
    thread = threading.Thread(target=endpoint.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.server.shutdown()
        endpoint.server.server_close()
        thread.join()


def vectors_of(texts: list[str]) -> list[list[float]]:
    """Return vectors of 5 numbers, different for each text, not normalized."""
    return [[len(text), 1.0, ord((text or " ")[0]), 2.0, 3.0] for text in texts]


def good(texts: list[str], _number: int = 0) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, body_of(vectors_of(texts))


def body_of(vectors: list[Any]) -> bytes:
    rows = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    # Servers may return the rows in any order.
    return json.dumps({"object": "list", "data": rows[::-1]}).encode()
