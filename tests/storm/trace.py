"""What happened in a storm, in order, for whoever has to find out why it failed."""

import json
import threading
import time
from pathlib import Path
from typing import Any


class Trace:
    """One JSON object a line: seconds since the start, what, and details."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._started_s = time.monotonic()
        self._file = path.open("w", buffering=1)

    def add(self, what: str, **details: Any) -> None:
        """Write down one thing; threads may do so at once."""
        at = round(time.monotonic() - self._started_s, 3)
        with self._lock:
            self._file.write(json.dumps({"s": at, "what": what, **details}) + "\n")

    def close(self) -> None:
        """Nothing more is written down."""
        with self._lock:
            self._file.close()
