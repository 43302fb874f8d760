"""Each host program once: it ends in time, only its own errors, each event once."""

import os
from pathlib import Path

import pytest

from semloop.agent.spool.folder import file_name
from semloop.agent.spool.layout import MAGIC
from semloop.agent.spool.names import spool_name
from semloop.settings import Settings
from tests.sdk.hosts.host_run import run_host
from tests.sdk.hosts.programs import PROGRAMS, Program
from tests.support.services import free_port

pytestmark = pytest.mark.process


@pytest.fixture
def away(tmp_path: Path) -> Settings:
    """Settings with a broker that does not run."""
    return Settings().replace(
        lake=str(tmp_path / "lake"),
        kafka=f"127.0.0.1:{free_port()}",
        spool=str(tmp_path / "spool"),
        spool_mb=4,
        agent_queue_mb=1,
    )


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_a_host_ends_in_time_and_each_event_is_kept_once(
    away: Settings, tmp_path: Path, program: Program
) -> None:
    ended = run_host(program, tmp_path, away)
    ended.assert_ended_well()
    ended.assert_kept()


@pytest.mark.parametrize(
    "spool",
    ["/dev/null/spool", "/proc/spool", "off"],
    ids=["no folder", "no disk", "off"],
)
def test_without_a_spool_events_that_were_not_sent_are_counted(
    away: Settings, tmp_path: Path, spool: str
) -> None:
    program = next(each for each in PROGRAMS if str(each) == "ends sys.exit")
    ended = run_host(program, tmp_path, away.replace(spool=spool))
    ended.assert_ended_well()
    assert ended.dropped == len(ended.noted) == 20


def test_files_of_others_in_the_spool_are_left_alone(
    away: Settings, tmp_path: Path
) -> None:
    spool = Path(away.agent.spool)
    spool.mkdir(mode=0o700)
    target = tmp_path / "target"
    target.write_text("important")
    stem = file_name(spool_name(away))
    (spool / f"{stem}.7-abc.000001.seg").symlink_to(target)
    (spool / f"{stem}.7-abc.lock").symlink_to(target)
    (spool / f"{stem}.8-abc.000001.seg").hardlink_to(target)
    (spool / f"{stem}.9-abc.000001.seg").mkdir()
    (spool / f"{stem}.10-abc.000001.seg").write_bytes(MAGIC + b"\xff" * 99)
    os.mkfifo(spool / f"{stem}.12-abc.000001.seg")
    (spool / "notes.txt").write_text("mine")
    before = {path.name for path in spool.iterdir()}
    ended = run_host(PROGRAMS[0], tmp_path, away)
    ended.assert_ended_well()
    assert target.read_text() == "important"
    assert before <= {path.name for path in spool.iterdir()}
