"""Each host program once: it ends in time, only its own errors, each event once."""

import signal
from pathlib import Path

import pytest

from semloop.settings import Settings
from tests.sdk.hosts.host_run import run_host
from tests.support.services import free_port

pytestmark = pytest.mark.process

PROGRAMS = [
    ("threads", [], 0),
    ("forks", [], 0),
    ("c_forks", [], 0),
    ("daemon", [], 0),
    ("pools", ["fork", "before"], 0),
    ("pools", ["forkserver"], 0),
    ("pools", ["spawn"], 0),
    ("ends", ["sys.exit"], 0),
    ("ends", ["os._exit"], 0),
    ("ends", ["abort"], -signal.SIGABRT),
    ("ends", ["segmentation fault"], -signal.SIGSEGV),
    ("ends", ["SIGTERM"], -signal.SIGTERM),
    ("ends", ["SIGKILL"], -signal.SIGKILL),
    ("ends", ["handler"], 0),
    ("ends", ["finaliser"], 0),
    ("ends", ["thread at exit"], 0),
    ("ends", ["busy daemon thread"], 0),
    ("ends", ["atexit"], 0),
    ("ends", ["exception"], 1),
    ("collector", [], 0),
    ("tasks", [], 0),
    ("loggers", ["emits"], 0),
    ("loggers", ["raises"], 0),
    ("loggers", ["exits"], 0),
    ("loggers", ["waits"], 0),
    ("loggers", ["forks"], 0),
    ("tracers", [], 0),
    ("disks", ["full"], 0),
    ("disks", ["no blocks"], 0),
    ("disks", ["removed"], 0),
    ("flushes", [], 0),
    ("interpreters", [], 0),
]


@pytest.fixture
def away(tmp_path: Path) -> Settings:
    return Settings().replace(
        lake=str(tmp_path / "lake"),
        kafka=f"127.0.0.1:{free_port()}",
        spool=str(tmp_path / "spool"),
        spool_mb=4,
        agent_queue_mb=1,
    )


@pytest.mark.parametrize(
    ("program", "arguments", "status"),
    PROGRAMS,
    ids=[" ".join((name, *arguments)) for name, arguments, _ in PROGRAMS],
)
def test_a_host_ends_in_time_and_each_event_is_kept_once(
    away: Settings, tmp_path: Path, program: str, arguments: list[str], status: int
) -> None:
    ended = run_host(program, tmp_path, away, *arguments)
    print(ended.stderr, len(ended.noted))
    assert ended.status == status, ended
    # `faulthandler` prints where a program died.
    assert not ended.stderr or status == -signal.SIGSEGV
    ended.assert_kept()
