"""A store that ignores `If-None-Match`: a proxy in front of one that honors it.

When the store rejects a write because the object exists, the proxy reports success. It
runs in a separate process, since deltalake holds the GIL while it waits.
"""

import hashlib
import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class OverwritingHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store = ""

    def forward(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        connection = http.client.HTTPConnection(self.store)
        content = self.rfile.read(size)
        connection.request(self.command, self.path, content, dict(self.headers))
        reply = connection.getresponse()
        status, body = reply.status, reply.read()
        report_success = status == 412 and "If-None-Match" in self.headers
        if report_success:
            status, body = 200, b""
        self.send_response(status)
        if report_success:
            self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        for name, value in reply.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        length = reply.getheader("Content-Length") or "0"
        self.send_header(
            "Content-Length", length if self.command == "HEAD" else str(len(body))
        )
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

    def log_request(self, *args: object) -> None:
        """Log nothing; the tests check the errors of clients."""


def main() -> None:
    OverwritingHandler.store = urlsplit(sys.argv[1]).netloc
    server = ThreadingHTTPServer(("127.0.0.1", 0), OverwritingHandler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
