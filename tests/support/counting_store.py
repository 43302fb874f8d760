"""A proxy in front of an object store that counts requests; see `bench/capacity.py`."""

import sys
import threading
from collections import Counter

from typing_extensions import override

from tests.support.forwarding_server import ForwardingHandler, serve


class Counts:
    """Requests by method, and the bytes that were written."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, method: str, written: int) -> None:
        """Count a request."""
        with self._lock:
            self._counts.update({method: 1, "bytes": written})

    def taken(self) -> dict[str, int]:
        """Return the counts since the last call."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return dict(counts)


COUNTS = Counts()


class CountingHandler(ForwardingHandler):
    """Counts a request, then forwards it."""

    @override
    def respond(self, body: bytes) -> None:
        # A list of objects is a GET of a bucket; stores charge it like a PUT.
        listed = self.command == "GET" and "list-type=" in self.path
        COUNTS.add("LIST" if listed else self.command, len(body))
        self.answer(*self.request_store(body))


if __name__ == "__main__":
    serve(CountingHandler, COUNTS, sys.argv[1])
