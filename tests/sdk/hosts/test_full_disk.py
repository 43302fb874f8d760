"""A host program on a file system that is really full: a tmpfs of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.support.services import free_port

pytestmark = pytest.mark.process

# Only this process and its children see the file system.
MOUNTED = 'mount -t tmpfs -o size=1600k,mode=700 tmpfs "$1" && shift && exec "$@"'
HOST = """
import json, os, signal, sys, time
from semloop import Agent
agent = Agent("tester")
s = agent.session("s-1")
for number in range(100):
    s.message("user", "x" * 10_000)
before = agent.stats()
if sys.argv[2] != "end":
    os.unlink(sys.argv[1] + "/ballast")
    # The sending thread writes what is in memory to the disk.
    while agent.stats().in_memory:
        time.sleep(0.05)
if sys.argv[2] == "killed":
    print(json.dumps([before.in_memory, before.waiting, 0]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
agent._emitter.close(0.1)
print(json.dumps([before.in_memory, before.waiting, agent.dropped]))
"""
PROBE = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
# Fills a part of the disk, runs the host, and counts what is left in the spool.
CHECK = """
import json, subprocess, sys
from pathlib import Path
from tests.support.spools import unsent
folder, host, how = sys.argv[1:]
Path(folder, "ballast").write_bytes(bytes(1_300_000))
command = [sys.executable, "-c", host, folder, how]
done = subprocess.run(command, capture_output=True, text=True, timeout=60)
left = len({event["id"] for event in unsent(Path(folder, "spool"))})
print(json.dumps([*json.loads(done.stdout or "[0,0,0]"), left, done.stderr]))
"""


def run_on(folder: Path, *command: str, **environ: str) -> str:
    """Run a command with a small file system at a folder; return its output."""
    arguments = ["unshare", "-rm", "sh", "-c", MOUNTED, "sh", str(folder), *command]
    done = subprocess.run(
        arguments, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def mounts() -> None:
    """Skip the test where this user cannot mount a file system."""
    probe = subprocess.run(PROBE, capture_output=True, text=True, timeout=60)
    if probe.returncode:
        pytest.skip(f"cannot mount a file system here: {probe.stderr.strip()}")


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("how", ["end", "space again", "killed"])
def test_a_full_disk_ends_no_program_and_each_event_is_stored_or_counted(
    tmp_path: Path, how: str
) -> None:
    found = run_on(
        tmp_path, sys.executable, "-c", CHECK, str(tmp_path), HOST, how,
        PYTHONPATH=str(ROOT), SEMLOOP_KAFKA=f"127.0.0.1:{free_port()}",
        SEMLOOP_SPOOL=str(tmp_path / "spool"), SEMLOOP_AGENT_FLUSH_S="0.1",
        PATH="/usr/bin:/bin",
    )  # fmt: skip
    in_memory, emitted, dropped, left, stderr = json.loads(found)
    assert emitted == 100
    assert 0 < in_memory < 100
    assert stderr.count("No space left on device") == 1
    if how == "end":
        assert dropped > 0
        assert left + dropped == 100
    else:
        assert (left, dropped) == (100, 0)
    if how == "space again":
        assert stderr.count(f"Events are stored in {tmp_path / 'spool'} again.") == 1
