"""The whole program on its embedded parts: who may read its files, what it connects to."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from semloop.command.demo.folder import NAME
from tests.support.processes import ROOT

pytestmark = pytest.mark.process

STRACE = shutil.which("strace")
# Addresses that a process connected or sent to, native libraries included.
TARGET = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
DEMO = (sys.executable, "-P", "-m", "semloop", "demo", "--events", "100")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a demo ran with the usual umask; `trace` if there is strace."""
    folder = tmp_path_factory.mktemp("closed")
    (folder / "home").mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SEMLOOP_")}
    done = subprocess.run(
        [*(_traced(STRACE, folder / "trace") if STRACE else ()), *DEMO],
        cwd=folder,
        env={**kept, "HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)},
        umask=0o022,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    return folder


def _traced(strace: str, trace: Path) -> tuple[str, ...]:
    """Return the start of a command that lists the connections of all processes."""
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    return (strace, "-f", "--seccomp-bpf", "-e", calls, "-o", str(trace))


def test_the_demo_leaves_nothing_in_the_home_of_the_user(ended: Path) -> None:
    """Neither a cache nor an id of a library."""
    assert list((ended / "home").iterdir()) == []


def test_only_the_owner_may_read_what_the_demo_writes(ended: Path) -> None:
    paths = [ended / NAME, *(ended / NAME).rglob("*")]
    wrong = [
        str(path)
        for path in paths
        if stat.S_IMODE(path.stat().st_mode) != (0o700 if path.is_dir() else 0o600)
    ]
    assert wrong == []
    tables = {path.name for path in (ended / NAME).iterdir()}
    assert {"events", "episodes", "memories", "_local"} <= tables


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_the_demo_connects_to_nothing_but_its_own_broker(ended: Path) -> None:
    found = TARGET.findall((ended / "trace").read_text("utf-8", "replace"))
    # A look-up of a name would be a message to a server's port 53.
    assert {v4 or v6 for v4, v6 in found} == {"127.0.0.1"}
