"""The flow `archive` as a process while its storage fails: S3, disks, rights.

It goes on with the same process, or ends in two lines; the lake then has every record
once.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from semloop.errors import LakeError
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.settings import Settings
from semloop.storage.errors import CHECK_FOLDER, CHECK_STORE
from semloop.storage.location import Storage, redaction_key
from tests import processes
from tests.conftest import settings_on
from tests.fault_proxy import ALWAYS, Fault, FaultProxy
from tests.flows.a_flow import a_flow, archived, once, produce, refused, stored
from tests.services import Broker
from tests.sinks.maintenance import MAINTENANCE
from tests.sinks.sink_contract import full_disk
from tests.stores import RealStore, Store

RETRIED = "tried again"
HASTY = {"SEMLOOP_STORAGE_RETRY_S": "0.5"}
OFTEN = {"SEMLOOP_COMMIT_INTERVAL_S": "0.1"}


@pytest.fixture
def proxy(store: Store) -> Iterator[FaultProxy]:
    with FaultProxy(store.endpoint) as proxy:
        yield proxy


def test_a_flow_goes_on_through_whatever_its_store_does(
    proxy: FaultProxy, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_on(proxy.endpoint, broker, monkeypatch)
    topic = TopicAdmin(settings).ensure()
    sent = produce(settings, 20)
    armed = [
        proxy.arm(Fault.CUT_OFF, "GET", "/_delta_log/"),
        proxy.arm(Fault.RESET, "PUT", "/streams/_delta_log/"),
        proxy.arm(Fault.LOST_REPLY, "PUT", "/events/_delta_log/", skip=1),
        proxy.arm(Fault.SLOW_DOWN, "PUT", "/dead_letters/_delta_log/", times=4),
    ]
    with a_flow(settings) as flow:
        flow.wait_until_stored(len(sent))
        armed += [
            proxy.arm(Fault.LOST_REPLY, "PUT", "/events/_delta_log/"),
            proxy.arm(Fault.INTERNAL_ERROR, "PUT", "/dead_letters/date=", times=2),
            proxy.arm(Fault.RESET, "PUT", "/events/date=", times=2),
            proxy.arm(Fault.REFUSED, "PUT", "/dead_letters/_delta_log/"),
        ]
        sent |= produce(settings, [b"not an event"] * 10)
        sent |= produce(settings, 20)
        flow.wait_until_stored(len(sent))
        assert flow.alive()
        assert flow.said() == []
    assert all(rule.happened for rule in armed)
    assert stored(settings) == once({topic.topic_id: sent})


def test_a_store_that_stays_away_is_said_in_two_lines_and_costs_nothing(
    proxy: FaultProxy, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_on(proxy.endpoint, broker, monkeypatch)
    topic = TopicAdmin(settings).ensure()
    sent = produce(settings, 20)
    with a_flow(settings, **HASTY) as flow:
        flow.wait_until_stored(len(sent))
        proxy.arm(Fault.SLOW_DOWN, "PUT", "/events/", times=ALWAYS)
        sent |= produce(settings, 20)
        code, said = flow.ends()
    assert (code, len(said)) == (1, 2), said
    failed = f"Cannot commit to table events in {settings.lake}: "
    assert said[0].startswith(failed)
    assert said[1] == CHECK_STORE
    said = refused(settings, **HASTY)
    failed += f"the object store {proxy.endpoint} fails: 503 Service Unavailable"
    assert said[0].startswith(failed)
    proxy.disarm()
    archived(settings)
    assert stored(settings) == once({topic.topic_id: sent})


@pytest.mark.real_store
def test_a_store_killed_before_and_under_a_flow_only_delays_it(
    own_store: RealStore, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_on(own_store.endpoint, broker, monkeypatch)
    topic = TopicAdmin(settings).ensure()
    sent = produce(settings, 20)
    own_store.kill()
    with a_flow(settings) as flow:
        flow.wait_until_logged(RETRIED)
        own_store.start()
        flow.wait_until_stored(len(sent))
        own_store.kill()
        tries = len(flow.logged(RETRIED))
        sent |= produce(settings, 20)
        flow.wait_until_logged(RETRIED, tries + 1)
        own_store.start()
        flow.wait_until_stored(len(sent))
        assert flow.said() == []
    archived(settings)
    assert stored(settings) == once({topic.topic_id: sent})


def test_maintenance_under_a_flow_neither_stops_it_nor_loses_anything(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 5)
    with a_flow(settings, **OFTEN) as flow:
        flow.wait_until_stored(len(sent))
        for work in MAINTENANCE.values():
            work(Storage.of(settings).open("events"))
            sent |= produce(settings, 5)
            flow.wait_until_stored(len(sent))
        assert flow.alive()
    assert stored(settings) == once({topic.topic_id: sent})


def test_a_full_disk_stops_a_flow_in_two_lines_and_only_until_there_is_room(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 5)
    with a_flow(settings, SEMLOOP_STORAGE_RETRY_S="5") as flow:
        flow.wait_until_stored(len(sent))
        leave_room(flow.process.pid, 8192)
        sent |= produce(settings, 200)
        flow.wait_until_logged(RETRIED)
        leave_room(flow.process.pid, resource.RLIM_INFINITY)
        flow.wait_until_stored(len(sent))
        leave_room(flow.process.pid, 8192)
        sent |= produce(settings, 200)
        code, said = flow.ends()
    assert (code, len(said)) == (1, 2), said
    failed = f"Cannot commit to table events in {settings.lake}: File too large"
    assert said[0].startswith(failed)
    assert said[1] == CHECK_FOLDER
    files = {file.name for file in Path(settings.lake).rglob("events/*/*.parquet")}
    named = Storage.of(settings).open("events").file_uris()
    assert files == {Path(uri).name for uri in named}
    archived(settings)
    assert stored(settings) == once({topic.topic_id: sent})


def test_a_key_that_a_full_disk_keeps_from_being_made_is_said(
    settings: Settings,
) -> None:
    storage = Storage.of(settings)
    with full_disk(0), pytest.raises(LakeError) as error:
        redaction_key(settings, storage)
    assert error.value.what.endswith("can be neither read nor created: File too large.")
    assert "SEMLOOP_REDACTION_KEY" in error.value.todo
    assert list(storage.local_folder().iterdir()) == []
    assert redaction_key(settings, storage)


# Rights do not stop root unless it gives up CAP_DAC_OVERRIDE (1) at its next program.
OBEDIENT = """
import ctypes, os, sys
if os.getuid() == 0:
    PR_CAPBSET_DROP = 24
    assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, 1, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-P", "-m", "semloop", *sys.argv[1:]])
"""


def test_a_lake_that_may_only_be_read_is_said_and_can_be_read(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 5)
    archived(settings)
    sent_later = produce(settings, 5)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", OBEDIENT, *arguments],
            env=processes.environment(settings),
            capture_output=True,
            text=True,
            timeout=60,
        )

    with read_only(Path(settings.lake)):
        done = run("run", "archive", "--until-caught-up")
        said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        assert (done.returncode, len(said)) == (1, 2), said
        failed = f"Cannot commit to table events in {settings.lake}: Permission denied"
        assert said[0].startswith(failed)
        assert said[1].startswith("Check SEMLOOP_LAKE, and that this user or key may")
        done = run("sql", "SELECT count(*) AS n FROM events", "--format", "json")
        assert json.loads(done.stdout) == [{"n": len(sent)}], done.stderr
        done = run("status")
        assert done.returncode == 0, done.stderr
    archived(settings)
    assert stored(settings) == once({topic.topic_id: sent | sent_later})


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing in it may be written, not even by its owner."""
    found = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
    for path, mode in found.items():
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in found.items():
            path.chmod(mode)


def leave_room(pid: int, room: int) -> None:
    """No file of a process can grow beyond so many bytes: nearest to a full disk."""
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, hard))
