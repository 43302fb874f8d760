"""The process behind `tests/s3/token_store.py`; ends when its input does.

A request without the key that is valid now, or without its session token, gets 403 with
the code that S3 has for it. All others are passed on to the store.
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
# What the answers of STS announce. Clients do not keep a key that ends so soon but ask
# again, so a test can replace it without waiting for a clock.
LIFE_S = 5


class Keys:
    """One key at a time is valid; its number tells it from those that ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 1
        self._refused = 0

    def issue(self) -> tuple[str, str]:
        """The key that is valid now, and its session token."""
        with self._lock:
            return f"ASIATEST{self._number:08}", f"token-{self._number}"

    def replace(self) -> None:
        """End the key; from now on STS issues another one."""
        with self._lock:
            self._number += 1

    def refusals(self) -> int:
        """How many requests were refused so far."""
        with self._lock:
            return self._refused

    def refusal(self, key: str, token: str) -> str:
        """The code of S3 for a request with them; empty if they are valid."""
        found = re.fullmatch(r"ASIATEST(\d{8})", key)
        with self._lock:
            if not found or int(found[1]) > self._number:
                code = "InvalidAccessKeyId"
            elif token != f"token-{int(found[1])}":
                code = "InvalidToken"
            else:
                code = "" if int(found[1]) == self._number else "ExpiredToken"
            self._refused += bool(code)
            return code


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    keys = Keys()
    store = ""

    def log_message(self, *words: object) -> None:
        """Tests ask for the counts."""

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command == "POST" and b"Action=AssumeRole" in body:
            self.answer(200, [("Content-Type", "text/xml")], self.assumed(body))
            return
        signed = self.headers.get("Authorization", "")
        found = re.search(r"Credential=([^/]+)/", signed)
        token = self.headers.get("X-Amz-Security-Token", "")
        if code := self.keys.refusal(found[1] if found else "", token):
            text = f"<Error><Code>{code}</Code><Message>refused</Message></Error>"
            self.answer(403, [("Content-Type", "application/xml")], text.encode())
            return
        self.answer(*self.ask_store(body))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def assumed(self, body: bytes) -> bytes:
        action = parse_qs(body.decode())["Action"][0]
        key, token = self.keys.issue()
        end = datetime.now(UTC) + timedelta(seconds=LIFE_S)
        return (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<{action}Result><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s"
            "</Arn><AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser><Credentials>"
            f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
            f"<SessionToken>{token}</SessionToken>"
            f"<Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            f"</{action}Result><ResponseMetadata><RequestId>1</RequestId>"
            f"</ResponseMetadata></{action}Response>"
        ).encode()

    def ask_store(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection(self.store)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in HOP_BY_HOP
        }
        connection.request(self.command, self.path, body, headers)
        reply = connection.getresponse()
        content = reply.read()
        kept = [h for h in reply.getheaders() if h[0].lower() not in HOP_BY_HOP]
        if self.command == "HEAD":
            kept.append(("Content-Length", reply.getheader("Content-Length") or "0"))
        connection.close()
        return reply.status, kept, content

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
        """Nothing: readers close connections in the middle of a file."""


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
