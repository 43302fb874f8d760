"""Files without events that killed processes left in the spool."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from semloop.agent.spool.folder import Owner
from semloop.agent.spool.inspection import contents
from semloop.settings import Settings, load
from tests.doctor.leftover_checks import fix_all, left_over, tree
from tests.support.processes import ROOT
from tests.support.spools import a_writer, emit, leave

# Emits, lets the broker have it for `sent`, and is killed.
CHILD = """
import os, signal, sys
from pathlib import Path
from semloop.agent.spool.folder import Owner
from semloop.agent.spool.layout import DONE, HEADER_BYTES
from semloop.agent.spool.writer import Writer
folder, how = Path(sys.argv[1]), sys.argv[2]
if how == "lock":
    owner = Owner.new(folder, "b:1-t")
else:
    writer = Writer(folder, "b:1-t", 2**28, 2**20)
    assert not writer.append(b"key", b"{}")
    if how == "sent":
        writer.chain.last.mark(HEADER_BYTES, DONE)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return load({}, spool=str(tmp_path / "spool"), kafka="127.0.0.1:1")


def killed(folder: Path, how: str) -> None:
    """Run a process that leaves a `lock`, all `sent`, or an event `unsent`."""
    command = [sys.executable, "-c", CHILD, str(folder), how]
    done = subprocess.run(command, cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.process
@pytest.mark.parametrize("how", ["lock", "sent"])
def test_files_without_events_are_found_and_removed(
    here: Settings, tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "spool"
    killed(folder, how)
    killed(folder, "unsent")
    alive = a_writer(here)
    emit(alive, "its process sends it")
    before = tree(folder)
    found = left_over(here, "spool")
    assert found is not None
    assert found.found.startswith("files without events of 1 process that ended (")
    assert tree(folder) == before
    (done,) = fix_all(here, "spool")
    assert done.startswith("removed files without events of 1 process (")
    assert left_over(here, "spool") is None
    assert fix_all(here, "spool") == []
    left = tree(folder)
    assert len(before - left) == 1 + (how == "sent")
    events = [c for path in left if path.suffix == ".seg" for c in contents(path)]
    assert len(events) == 2
    emit(alive, "it still can")
    alive.close()


def test_damaged_segments_are_kept_and_named(here: Settings, tmp_path: Path) -> None:
    leave(here, "one")
    (path,) = (tmp_path / "spool").glob("*.seg")
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    assert fix_all(here, "spool") == []
    assert path.exists()


def test_a_segment_that_another_process_adopts_meanwhile_is_kept(
    here: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    killed(folder, "sent")
    found = left_over(here, "spool")
    assert found is not None
    assert found.fix is not None
    (path,) = folder.glob("*.seg")
    adopter = Owner(folder, path.name.partition(".0")[0])
    assert found.fix().startswith("removed files without events of 0 processes")
    assert path.exists()
    adopter.release()
