"""Server process of `tests/s3/expiring_key_store.py`; exits at the end of its stdin.

A request without the currently valid key and session token is answered with 403 and the
matching S3 error code. All others are forwarded to the store.
"""

import json
import os
import re
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

HOP_BY_HOP = {"connection", "expect", "transfer-encoding", "content-length"}
# Lifetime that the STS responses announce. Clients do not cache a key that expires this
# soon, so a test can replace it without waiting for it to expire.
KEY_LIFETIME_S = 5


class Keys:
    """Issues keys; one is valid at a time, and its number identifies it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 1
        self._refused = 0

    def issue(self) -> tuple[str, str]:
        """Return the currently valid key and its session token."""
        with self._lock:
            return f"ASIATEST{self._number:08}", f"token-{self._number}"

    def replace(self) -> None:
        """Expire the key; STS issues a new one from now on."""
        with self._lock:
            self._number += 1

    def refusals(self) -> int:
        """Return the number of rejected requests."""
        with self._lock:
            return self._refused

    def refusal(self, key: str, token: str) -> str:
        """Return the S3 error code for a key and token; empty if they are valid."""
        match = re.fullmatch(r"ASIATEST(\d{8})", key)
        with self._lock:
            if not match or int(match[1]) > self._number:
                code = "InvalidAccessKeyId"
            elif token != f"token-{int(match[1])}":
                code = "InvalidToken"
            else:
                code = "" if int(match[1]) == self._number else "ExpiredToken"
            self._refused += bool(code)
            return code


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    keys = Keys()
    store = ""

    def log_message(self, *words: object) -> None:
        """Log nothing; tests query the counts."""

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command == "POST" and b"Action=AssumeRole" in body:
            self.answer(
                200, [("Content-Type", "text/xml")], self.assume_role_response(body)
            )
            return
        authorization = self.headers.get("Authorization", "")
        match = re.search(r"Credential=([^/]+)/", authorization)
        token = self.headers.get("X-Amz-Security-Token", "")
        if code := self.keys.refusal(match[1] if match else "", token):
            text = f"<Error><Code>{code}</Code><Message>refused</Message></Error>"
            self.answer(403, [("Content-Type", "application/xml")], text.encode())
            return
        self.answer(*self.forward(body))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def assume_role_response(self, body: bytes) -> bytes:
        action = parse_qs(body.decode())["Action"][0]
        key, token = self.keys.issue()
        end = datetime.now(UTC) + timedelta(seconds=KEY_LIFETIME_S)
        return (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<{action}Result><AssumedRoleUser><Arn>arn:aws:sts::1:assume_role_response-role/r/s"
            "</Arn><AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser><Credentials>"
            f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
            f"<SessionToken>{token}</SessionToken>"
            f"<Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            f"</{action}Result><ResponseMetadata><RequestId>1</RequestId>"
            f"</ResponseMetadata></{action}Response>"
        ).encode()

    def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection(self.store)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in HOP_BY_HOP
        }
        connection.request(self.command, self.path, body, headers)
        reply = connection.getresponse()
        content = reply.read()
        headers_sent = [h for h in reply.getheaders() if h[0].lower() not in HOP_BY_HOP]
        if self.command == "HEAD":
            headers_sent.append(
                ("Content-Length", reply.getheader("Content-Length") or "0")
            )
        connection.close()
        return reply.status, headers_sent, content

    def answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: readers close connections in the middle of a file."""


def main(store: str) -> None:
    Handler.store = urlsplit(store).netloc
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(f"http://127.0.0.1:{server.server_address[1]}"), flush=True)
    for line in sys.stdin:
        print(json.dumps(getattr(Handler.keys, json.loads(line))()), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
