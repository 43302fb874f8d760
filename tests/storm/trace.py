"""Chronological trace of a storm, for finding the cause of a failure."""

import json
import threading
import time
from pathlib import Path
from typing import Any


class Trace:
    """One JSON object per line: seconds since the start, event name and details."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._started_s = time.monotonic()
        self._file = path.open("w", buffering=1)

    def add(self, event: str, **details: Any) -> None:
        """Write one event; safe to call from several threads."""
        at = round(time.monotonic() - self._started_s, 3)
        with self._lock:
            self._file.write(json.dumps({"s": at, "event": event, **details}) + "\n")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()
