"""A proxy in front of an object store, in a process that a test controls.

It is a separate process: deltalake holds the GIL while it waits for some replies, so a
thread could not send them.
"""

import json
import subprocess
import sys
from typing import Any, Self

from tests.support.processes import ROOT


class StoreProxy:
    """A context manager; `endpoint` is the URL of the proxy."""

    def __init__(self, server: str, store: str) -> None:
        """Start the proxy.

        Args:
            server: module that calls `serve` of `tests/support/forwarding_server.py`.
            store: http endpoint of the real store.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", server, store],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint: str = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=60)  # exits at the end of its input

    def ask(self, command: str, *arguments: object) -> Any:
        """Send a command to the proxy and return its reply."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())
