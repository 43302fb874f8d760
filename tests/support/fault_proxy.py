"""An object store with fault injection: an HTTP proxy in front of a real one.

A test arms a fault for the next matching requests and queries later how often it was
injected. The proxy is a separate process: deltalake holds the GIL while it waits for
some replies, so a thread could not send them.
"""

import json
import subprocess
import sys
from enum import StrEnum
from typing import Any

from tests.support.processes import ROOT

ALWAYS = 1_000_000


class Fault(StrEnum):
    """Effect on a request; SLOW_DOWN to RESET do not forward it to the store."""

    ONLY_COUNTED = "nothing"
    SLOW_DOWN = "503"
    INTERNAL_ERROR = "500"
    REFUSED = "412"
    RESET = "the connection is reset"
    STALLED = "held at the gate, then forwarded even if the client gave up"
    STALLED_REPLY = "forwarded, the reply held at the gate"
    LOST_REPLY = "forwarded, the connection closed without a reply"
    CUT_OFF = "forwarded, the reply cut off before its announced length"


class ArmedFault:
    """A fault for the next matching requests."""

    def __init__(self, proxy: "FaultProxy", number: int) -> None:
        self._proxy = proxy
        self._number = number

    @property
    def happened(self) -> int:
        """Number of requests that it was applied to."""
        count: int = self._proxy.ask("happened", self._number)
        return count


class FaultProxy:
    """A context manager; `endpoint` is the URL of the store with faults."""

    def __init__(self, store: str) -> None:
        """Start the proxy; `store` is the http endpoint of the real store."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fault_server", store],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint: str = self._answer()

    def __enter__(self) -> "FaultProxy":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=30)  # exits at the end of its input

    def arm(
        self,
        fault: Fault,
        method: str = "PUT",
        part: str = "",
        *,
        times: int = 1,
        skip: int = 0,
    ) -> ArmedFault:
        """Apply a fault to the next matching requests.

        Args:
            fault: effect on each request.
            method: HTTP methods, separated by spaces: "GET HEAD".
            part: required part of the path and query, for example `_delta_log/`.
            times: maximum number of requests; `ALWAYS` for all until `disarm`.
            skip: number of matching requests to leave alone first.
        """
        number = self.ask("arm", str(fault), method, part, times, skip)
        return ArmedFault(self, number)

    def disarm(self) -> None:
        """Stop applying faults."""
        self.ask("disarm")

    def open_gate(self) -> None:
        """Release all held requests, and hold no further ones."""
        self.ask("open_gate")

    def ask(self, command: str, *arguments: object) -> Any:
        """Send a command to the proxy and return its reply."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())
