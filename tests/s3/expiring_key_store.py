"""An object store that accepts only the current key of its own STS.

STS and store share one endpoint: a proxy in front of moto, which does not check
signatures. It is a separate process, since deltalake holds the GIL while it waits.
"""

import json
import subprocess
import sys
from typing import Any

from tests.support.processes import ROOT


class ExpiringKeyStore:
    """A context manager; `endpoint` is the URL of both STS and store."""

    def __init__(self, store: str) -> None:
        """`store`: endpoint of a store that does not check signatures."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.s3.expiring_key_server", store],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint: str = self._answer()

    def __enter__(self) -> "ExpiringKeyStore":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=30)  # exits at the end of its input

    def replace_key(self) -> None:
        """Expire the current key; STS issues a new one from now on."""
        self._request("replace")

    @property
    def refused(self) -> int:
        """Number of requests with an expired key, or with a key of another issuer."""
        count: int = self._request("refusals")
        return count

    def _request(self, command: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())
