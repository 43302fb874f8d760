"""Server process of `tests/support/fault_proxy.py`."""

import socket
import struct
import sys
import threading
from dataclasses import dataclass
from urllib.parse import unquote

from typing_extensions import override

from tests.support.fault_proxy import Fault
from tests.support.forwarding_server import ForwardingHandler, serve

CODES = {
    Fault.SLOW_DOWN: "SlowDown",
    Fault.INTERNAL_ERROR: "InternalError",
    Fault.REFUSED: "PreconditionFailed",
}
MISSING_BYTES = 1000
PAGE = b"<html><body><h1>404 Not Found</h1></body></html>"


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


class FaultyHandler(ForwardingHandler):
    """Applies the armed faults."""

    rules = Rules()

    @override
    def respond(self, body: bytes) -> None:
        fault = self.rules.fault_for(self.command, unquote(self.path))
        if fault in CODES:
            self.refuse(int(fault), CODES[fault])
            return
        if fault is Fault.NOT_FOUND:
            length = ("Content-Length", str(len(PAGE)))
            self.answer(404, [("Content-Type", "text/html"), length], PAGE)
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

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        self.close_connection = True
        # With a linger time of 0, closing sends RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()


if __name__ == "__main__":
    serve(FaultyHandler, FaultyHandler.rules, sys.argv[1])
