"""Servers shared by all workers of a session, started by the first that needs one.

Its address and pid are stored in the session's temporary folder; the controlling
process stops it by pid.
"""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.services import kill

FOLDER = "shared-servers"
# Keep handles: Python warns if the handle of a running process is collected.
_handles: list[Any] = []


def shared(root: Path, name: str, start: Callable[[Path], Any]) -> dict[str, Any]:
    """Return the attributes of a shared server; start it if no worker has yet.

    Args:
        root: a folder that all workers of the session share.
        name: name of the server.
        start: starts it in a separate folder; the result has a `pid`.
    """
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    record = folder / f"{name}.json"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            own = folder / name
            own.mkdir()
            server = start(own)
            _handles.append(server)
            public = {k: v for k, v in vars(server).items() if isinstance(v, str | int)}
            record.write_text(json.dumps(public | {"kind": server.kind}))
    found: dict[str, Any] = json.loads(record.read_text())
    return found


def stop_shared(root: Path) -> None:
    """Stop all servers that this test run started."""
    for record in (root / FOLDER).glob("*.json"):
        kill(json.loads(record.read_text())["pid"])
