"""Temporary folders of dead processes are removed, those of living ones are not."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from semloop.storage.scratch import scratch_folder
from tests.support.processes import ROOT

HOLD = """
import sys
from semloop.storage.scratch import scratch_folder
with scratch_folder("some-") as folder:
    (folder / "spilled").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_a_folder_is_removed_in_the_end(tmp_path: Path) -> None:
    with scratch_folder("some-") as folder:
        assert folder.parent == tmp_path
        (folder / "spilled").touch()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_a_folder_is_removed_once_its_process_was_killed(tmp_path: Path) -> None:
    (tmp_path / "other-").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        with scratch_folder("some-"):
            assert (held / "spilled").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert held.exists()
    with scratch_folder("some-"):
        assert not held.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["other-"]
