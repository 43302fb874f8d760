"""A store that takes `If-None-Match` for granted: a proxy in front of one that does not.

What the store refuses because the object is there is answered as if it were written.
Run as a process of its own, since deltalake holds Python's lock while it waits.
"""

import hashlib
import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class Careless(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store = ""

    def forward(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        connection = http.client.HTTPConnection(self.store)
        content = self.rfile.read(size)
        connection.request(self.command, self.path, content, dict(self.headers))
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
        written = status == 412 and "If-None-Match" in self.headers
        if written:
            status, body = 200, b""
        self.send_response(status)
        if written:
            self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        for name, value in answer.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") or "0"
        self.send_header(
            "Content-Length", length if self.command == "HEAD" else str(len(body))
        )
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

    def log_request(self, *args: object) -> None:
        """The tests look at what clients say."""


def main() -> None:
    Careless.store = urlsplit(sys.argv[1]).netloc
    server = ThreadingHTTPServer(("127.0.0.1", 0), Careless)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
