"""Servers that all workers of a run share: started by the first that needs one.

What was started is written down beside the run's temporary folders; the process that
controls the run ends it by pid.
"""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.services import kill

FOLDER = "shared-servers"
# A process whose handle is dropped while it runs is a warning of Python.
_kept: list[Any] = []


def shared(root: Path, name: str, start: Callable[[Path], Any]) -> dict[str, Any]:
    """What a server says of itself; started here if nobody has done so yet.

    Args:
        root: a folder that all workers of the run have in common.
        name: which server.
        start: starts it in a folder of its own; the result has a `pid`.
    """
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    note = folder / f"{name}.json"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            own = folder / name
            own.mkdir()
            server = start(own)
            _kept.append(server)
            public = {k: v for k, v in vars(server).items() if isinstance(v, str | int)}
            note.write_text(json.dumps(public | {"kind": server.kind}))
    found: dict[str, Any] = json.loads(note.read_text())
    return found


def stop_shared(root: Path) -> None:
    """End what the run started."""
    for note in (root / FOLDER).glob("*.json"):
        kill(json.loads(note.read_text())["pid"])
