"""A store that misbehaves when told to: an HTTP proxy in front of a real one.

A test arms a fault for the next requests of a kind and asks afterwards how often it
happened. The proxy is a process of its own: deltalake keeps Python's lock while it
waits for some answers, so a thread could not give them.
"""

import json
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ALWAYS = 1_000_000


class Fault(StrEnum):
    """What befalls a request; from SLOW_DOWN to RESET the store never hears of it."""

    ONLY_COUNTED = "nothing"
    SLOW_DOWN = "503"
    INTERNAL_ERROR = "500"
    REFUSED = "412"
    RESET = "the connection is reset"
    STALLED = "held at the gate, then passed on, whoever may still wait"
    STALLED_REPLY = "carried out, the answer held at the gate"
    LOST_REPLY = "carried out, the connection ends without an answer"
    CUT_OFF = "carried out, the answer ends before its announced length"


class Armed:
    """A fault for the next requests that fit."""

    def __init__(self, proxy: "FaultProxy", number: int) -> None:
        self._proxy = proxy
        self._number = number

    @property
    def happened(self) -> int:
        """How many requests it has befallen."""
        count: int = self._proxy.ask("happened", self._number)
        return count


class FaultProxy:
    """A context manager; `endpoint` is where the misbehaving store is."""

    def __init__(self, store: str) -> None:
        """`store`: endpoint of the real one, http."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault_server", store],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint: str = self._answer()

    def __enter__(self) -> "FaultProxy":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=30)  # it ends with its input

    def arm(
        self,
        fault: Fault,
        method: str = "PUT",
        part: str = "",
        *,
        times: int = 1,
        skip: int = 0,
    ) -> Armed:
        """Let a fault befall the next requests that fit.

        Args:
            fault: what happens to them.
            method: one or several, such as "GET HEAD".
            part: what their path with its query must hold, such as `_delta_log/`.
            times: so many of them; `ALWAYS` until `disarm`.
            skip: after so many to which nothing happens.
        """
        number = self.ask("arm", str(fault), method, part, times, skip)
        return Armed(self, number)

    def disarm(self) -> None:
        """From now on everything goes well."""
        self.ask("disarm")

    def open_gate(self) -> None:
        """Whatever is held goes on, and nothing is held any more."""
        self.ask("open_gate")

    def ask(self, what: str, *arguments: object) -> Any:
        """One question to the proxy, one answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([what, *arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())
