"""An object store that takes only the key of its own STS, which a test replaces.

STS and store are one endpoint: a proxy in front of moto, which checks no signatures. It
is a process of its own, since deltalake keeps Python's lock while it waits.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class TokenStore:
    """A context manager; `endpoint` is where STS and store are."""

    def __init__(self, store: str) -> None:
        """`store`: endpoint of a store that does not check signatures."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.s3.token_server", store],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint: str = self._answer()

    def __enter__(self) -> "TokenStore":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=30)  # it ends with its input

    def replace_key(self) -> None:
        """End the key that was issued so far; STS issues another one."""
        self._ask("replace")

    @property
    def refused(self) -> int:
        """How many requests came with a key that had ended, or with none of this STS."""
        count: int = self._ask("refusals")
        return count

    def _ask(self, what: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())
