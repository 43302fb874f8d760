"""Unsent events in the spool, and files there that no process sends."""

import os
from pathlib import Path

import pytest

from semloop.agent.spool.layout import HEADER_BYTES
from semloop.agent.spool.names import spool_name
from semloop.agent.spool.orphans import Orphans
from semloop.command.doctor import State
from semloop.settings import Settings, load
from tests.doctor.run_checks import findings_of, only_problem, problems
from tests.support.spools import a_writer, emit, leave


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return load({}, spool=str(tmp_path / "spool"), kafka="127.0.0.1:1")


def test_unsent_events_are_counted_without_changing_files(
    here: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    assert problems(findings_of(here, "spool")) == []
    assert not folder.exists()
    for text in ("one", "two"):
        leave(here, text, text)
    leave(here.replace(topic="another"), "three")
    running = a_writer(here)
    emit(running, "four")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    live, own, other = findings_of(here, "spool")
    assert (live.state, own.state, other.state) == (State.OK, State.WARN, State.WARN)
    assert live.found.startswith("1 event (")
    assert live.found.endswith(", 1 process) that running processes send")
    assert own.found.startswith("4 events (")
    assert own.found.endswith(", 2 processes) of ended processes were not sent")
    assert own.todo.startswith("Run: semloop spool send, or `semloop up`")
    assert other.found.endswith("were not sent to 127_0_0_1_1-another")
    assert "`semloop spool send --from NAME`" in other.todo
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    # The check releases its locks, so the next agent can adopt the files.
    orphans = Orphans(folder, [spool_name(here)], lambda *_: None)
    adopted = [orphans.next() for _ in range(2)]
    assert all(adopted)
    emit(running, "five")
    running.close()


def test_damaged_files_are_listed(here: Settings, tmp_path: Path) -> None:
    leave(here, "one")
    [segment] = (tmp_path / "spool").glob("*.seg")
    damaged = segment.rename(segment.with_suffix(".damaged"))
    damaged_file, lock = problems(findings_of(here, "spool"))
    assert damaged_file.found == "1 file with events that are damaged"
    assert str(damaged) in damaged_file.todo
    assert lock.found.startswith("files without events of 1 process")
    damaged.rename(segment)
    content = bytearray(segment.read_bytes())
    content[:HEADER_BYTES] = b"x" * HEADER_BYTES
    segment.write_bytes(content)
    assert str(segment) in only_problem(findings_of(here, "spool")).todo


@pytest.mark.parametrize("kind", ["link", "mode", "folder"])
def test_files_that_were_refused_are_listed(
    here: Settings, tmp_path: Path, kind: str
) -> None:
    leave(here, "one")
    [segment] = (tmp_path / "spool").glob("*.seg")
    if kind == "mode":
        segment.chmod(0o620)
    else:
        segment.rename(tmp_path / "elsewhere")
        if kind == "folder":
            segment.mkdir()
        else:
            segment.symlink_to(tmp_path / "elsewhere")
    finding = only_problem(findings_of(here, "spool"))
    assert finding.found.startswith("1 file refused: links, files of other users")
    assert str(segment) in finding.todo


def test_files_of_another_user_are_refused(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(here, "one")
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    finding = only_problem(findings_of(here, "spool"))
    assert finding.found.startswith("2 files refused")


def test_files_of_an_earlier_version_are_to_be_imported(
    here: Settings, tmp_path: Path
) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "b_1-t.4711-ab.jsonl").write_bytes(b"{}\n")
    finding = only_problem(findings_of(here, "spool"))
    assert finding.found == "1 file of an earlier version"
    assert f"semloop import {tmp_path}/spool/FILE --format events" in finding.todo


@pytest.mark.parametrize(
    ("bytes_", "state"), [(700, None), (900, State.WARN), (1_000, State.FAIL)]
)
def test_a_folder_near_its_bound_is_reported(
    here: Settings, tmp_path: Path, bytes_: int, state: State | None
) -> None:
    (tmp_path / "spool").mkdir()
    for number in range(bytes_):
        path = tmp_path / "spool" / f"b-t.1-f.{number:06}.seg"
        path.write_bytes(b"semloop-spool-1\n" + bytes(1008))
    listed = problems(findings_of(here.replace(spool_mb=1), "spool"))
    found = [finding for finding in listed if not finding.fix]
    assert [finding.state for finding in found] == ([state] if state else [])
    if state:
        assert "of 1 MiB used" in found[0].found
        assert "SEMLOOP_SPOOL_MB" in found[0].todo


def test_a_spool_that_is_off_is_not_a_problem(here: Settings) -> None:
    [finding] = findings_of(here.replace(spool="off"), "spool")
    assert finding.state is State.OK
    assert finding.found.startswith("off")


def test_a_spool_that_cannot_be_read_is_reported(
    here: Settings, tmp_path: Path
) -> None:
    (tmp_path / "spool").touch()
    finding = only_problem(findings_of(here, "spool"))
    assert finding.found.endswith("spool is not a folder that this user can read")


@pytest.mark.parametrize("bytes_", [0, 64 * 2**10])
def test_a_segment_whose_owner_ended_before_it_used_it_is_empty(
    here: Settings, tmp_path: Path, bytes_: int
) -> None:
    leave(here, "one")
    [segment] = (tmp_path / "spool").glob("*.seg")
    segment.write_bytes(bytes(bytes_))
    assert problems(findings_of(here, "spool")) == []
