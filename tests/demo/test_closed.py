"""The whole program on its embedded parts: who may read its files, what it connects to."""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from semloop.command.demo.folder import NAME
from tests.support.processes import ROOT

pytestmark = pytest.mark.process

STRACE = shutil.which("strace")
# Addresses that a process connected or sent to, native libraries included.
TARGET = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
DEMO = (sys.executable, "-P", "-m", "semloop", "demo", "--events", "100")


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def demo(folder: Path, *before: str) -> None:
    home = folder / "home"
    home.mkdir()
    done = subprocess.run(
        [*before, *DEMO],
        cwd=folder,
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    # Neither a cache nor an id of a library.
    assert list(home.iterdir()) == []


def test_only_the_owner_may_read_what_the_demo_writes(tmp_path: Path) -> None:
    demo(tmp_path)
    paths = [tmp_path / NAME, *(tmp_path / NAME).rglob("*")]
    wrong = [
        str(path)
        for path in paths
        if stat.S_IMODE(path.stat().st_mode) != (0o700 if path.is_dir() else 0o600)
    ]
    assert wrong == []
    tables = {path.name for path in (tmp_path / NAME).iterdir()}
    assert {"events", "episodes", "memories", "_local"} <= tables


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_the_demo_connects_to_nothing_but_its_own_broker(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    options = ("-f", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg")
    demo(tmp_path, str(STRACE), *options, "-o", str(trace))
    found = TARGET.findall(trace.read_text("utf-8", "replace"))
    # A look-up of a name would be a message to a server's port 53.
    assert {v4 or v6 for v4, v6 in found} == {"127.0.0.1"}
