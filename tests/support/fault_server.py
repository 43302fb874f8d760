"""Server process of `tests/support/fault_proxy.py`; exits at the end of its stdin.

Method, path, headers and body are forwarded unchanged, so signatures remain valid.
"""

import json
import os
import socket
import struct
import sys
import threading
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tests.support.fault_proxy import Fault

# These headers apply to one connection only; each side sets its own.
HOP_BY_HOP = {"connection", "expect", "transfer-encoding"}
CODES = {
    Fault.SLOW_DOWN: "SlowDown",
    Fault.INTERNAL_ERROR: "InternalError",
    Fault.REFUSED: "PreconditionFailed",
}
MISSING_BYTES = 1000


@dataclass
class Rule:
    """A fault for the next matching requests."""

    fault: Fault
    methods: str
    part: str
    left: int
    skip: int
    happened: int = 0

    def applies_to(self, method: str, path: str) -> bool:
        """Return True, and count, if the fault applies to this request."""
        if method not in self.methods.split() or self.part not in path or not self.left:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.left -= 1
        self.happened += 1
        return True


class Rules:
    """The armed faults; methods are the commands of the test, by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self.gate = threading.Event()

    def arm(self, fault: str, methods: str, part: str, times: int, skip: int) -> int:
        with self._lock:
            self._rules.append(Rule(Fault(fault), methods, part, times, skip))
            return len(self._rules) - 1

    def happened(self, number: int) -> int:
        with self._lock:
            return self._rules[number].happened

    def disarm(self) -> None:
        with self._lock:
            for rule in self._rules:
                rule.left = 0

    def open_gate(self) -> None:
        self.gate.set()

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            matching = (rule for rule in self._rules if rule.applies_to(method, path))
            rule = next(matching, None)
        return rule.fault if rule else None


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *request: object) -> None:
        """Ignore errors: clients give up, and tests kill the store."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise each reply waits 40 ms for the client's acknowledgement.
    disable_nagle_algorithm = True
    rules = Rules()
    store = ""

    def log_message(self, *words: object) -> None:
        """Log nothing; tests query the counts."""

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.rules.fault_for(self.command, unquote(self.path))
        if fault in CODES:
            text = f"<Error><Code>{CODES[fault]}</Code><Message>armed</Message></Error>"
            self.answer(int(fault), [("Content-Length", str(len(text)))], text.encode())
            return
        if fault is Fault.RESET:
            self.reset()
            return
        if fault is Fault.STALLED:
            self.rules.gate.wait()
        try:
            status, headers, content = self.request_store(body)
        except OSError:  # the store is down
            self.reset()
            return
        if fault is Fault.STALLED_REPLY:
            self.rules.gate.wait()
        if fault is Fault.LOST_REPLY:
            self.hang_up()
            return
        if fault is Fault.CUT_OFF:
            headers = [h for h in headers if h[0].lower() != "content-length"]
            announced = len(content) + MISSING_BYTES
            headers.append(("Content-Length", str(announced)))
        self.answer(status, headers, content)
        if fault is Fault.CUT_OFF:
            self.hang_up()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

    def request_store(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
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

    def answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        self.close_connection = True
        # With a linger time of 0, closing sends RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()


def main(store: str) -> None:
    Handler.store = urlsplit(store).netloc
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(f"http://127.0.0.1:{server.server_address[1]}"), flush=True)
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        print(json.dumps(getattr(Handler.rules, what)(*arguments)), flush=True)
    os._exit(0)  # even if requests are held at the gate


if __name__ == "__main__":
    main(sys.argv[1])
