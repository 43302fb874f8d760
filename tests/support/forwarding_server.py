"""Base of the server processes that forward requests to an object store.

Method, path, headers and body are forwarded unchanged, so signatures remain valid.
`tests/support/store_proxy.py` starts such a server and sends it commands.
"""

import json
import os
import sys
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from typing_extensions import override

# These headers apply to one connection only; each side sets its own.
HOP_BY_HOP = {"connection", "expect", "transfer-encoding"}
Headers = list[tuple[str, str]]


class ForwardingHandler(BaseHTTPRequestHandler):
    """Answers the requests of a client; a subclass decides which ones it forwards."""

    protocol_version = "HTTP/1.1"
    # Otherwise each reply waits 40 ms for the client's acknowledgement.
    disable_nagle_algorithm = True
    store = ""

    @override
    def log_message(self, *words: object) -> None:
        """Log nothing; tests query the counts, or check the errors of clients."""

    def read_request(self) -> None:
        """Read the body of a request and respond to it."""
        self.respond(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = read_request

    def respond(self, body: bytes) -> None:
        """Answer the request; without a subclass, as the store does."""
        self.answer(*self.request_store(body))

    def request_store(self, body: bytes) -> tuple[int, Headers, bytes]:
        """Forward the request; return the status, headers and content of the reply."""
        connection = HTTPConnection(self.store)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            reply = connection.getresponse()
            content = reply.read()
            chunked = reply.getheader("Content-Length") is None
            headers = [h for h in reply.getheaders() if h[0].lower() not in HOP_BY_HOP]
            if chunked and reply.status != 204:
                headers.append(("Content-Length", str(len(content))))
            return reply.status, headers, content
        finally:
            connection.close()

    def answer(self, status: int, headers: Headers, content: bytes) -> None:
        """Send a reply; `headers` include the length of the content."""
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_xml(self, status: int, text: str) -> None:
        """Send an XML document."""
        content = text.encode()
        length = ("Content-Length", str(len(content)))
        self.answer(status, [("Content-Type", "application/xml"), length], content)

    def refuse(self, status: int, code: str) -> None:
        """Send an error with an S3 error code."""
        text = f"<Error><Code>{code}</Code><Message>by the test</Message></Error>"
        self.answer_xml(status, text)


class Server(ThreadingHTTPServer):
    """Serves each connection in a thread."""

    daemon_threads = True
    request_queue_size = 128

    @override
    def handle_error(self, *request: object) -> None:
        """Ignore errors: clients give up, and tests kill the store."""


def serve(handler: type[ForwardingHandler], commands: object, store: str) -> None:
    """Print the endpoint, then the reply to each command; exit at the end of stdin.

    A command is a line with a JSON array: the name of a method of `commands`, and its
    arguments.
    """
    handler.store = urlsplit(store).netloc
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(f"http://127.0.0.1:{server.server_address[1]}"), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(commands, name)(*arguments)), flush=True)
    os._exit(0)  # even if requests are being answered
