"""The flow `archive` while its storage fails: object stores, disks, permissions.

The process continues, or ends with two lines; afterwards the lake has every record
exactly once.
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
from semloop.storage.location import Storage
from semloop.storage.redaction_key import writer_key
from tests.flows.flow_runner import (
    each_once,
    produce,
    run_archive,
    run_failing_archive,
    running_flow,
    stored_origins,
)
from tests.sinks.maintenance import MAINTENANCE
from tests.sinks.sink_contract import full_disk
from tests.support import processes
from tests.support.fault_proxy import ALWAYS, Fault, FaultProxy
from tests.support.lakes import settings_on
from tests.support.services import Broker
from tests.support.stores import RealStore, Store

RETRYING = "retrying"
SHORT_RETRY = {"SEMLOOP_STORAGE_RETRY_S": "0.5"}
FREQUENT_COMMITS = {"SEMLOOP_COMMIT_INTERVAL_S": "0.1"}


@pytest.fixture
def proxy(store: Store) -> Iterator[FaultProxy]:
    """A separate proxy for each test: some tests leave faults armed."""
    with FaultProxy(store.endpoint) as proxy:
        yield proxy


def test_archive_survives_every_kind_of_temporary_store_fault(
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
    with running_flow(settings) as flow:
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
        assert flow.is_alive()
        assert flow.messages() == []
    assert all(rule.happened for rule in armed)
    assert stored_origins(settings) == each_once({topic.topic_id: sent})


def test_archive_reports_a_lasting_store_outage_in_two_lines_and_loses_no_records(
    proxy: FaultProxy, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_on(proxy.endpoint, broker, monkeypatch)
    topic = TopicAdmin(settings).ensure()
    sent = produce(settings, 20)
    with running_flow(settings, **SHORT_RETRY) as flow:
        flow.wait_until_stored(len(sent))
        proxy.arm(Fault.SLOW_DOWN, "PUT", "/events/", times=ALWAYS)
        sent |= produce(settings, 20)
        code, messages = flow.wait_for_exit()
    assert (code, len(messages)) == (1, 2), messages
    failed = f"Cannot commit to table events in {settings.lake}: "
    assert messages[0].startswith(failed)
    assert messages[1] == CHECK_STORE
    messages = run_failing_archive(settings.replace(storage_retry_s=0.5))
    failed += f"the object store {proxy.endpoint} fails: 503 Service Unavailable"
    assert messages[0].startswith(failed)
    proxy.disarm()
    run_archive(settings)
    assert stored_origins(settings) == each_once({topic.topic_id: sent})


@pytest.mark.real_store
def test_archive_waits_for_a_store_that_is_killed_before_or_during_its_run(
    own_store: RealStore, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_on(own_store.endpoint, broker, monkeypatch)
    topic = TopicAdmin(settings).ensure()
    sent = produce(settings, 20)
    own_store.kill()
    with running_flow(settings) as flow:
        flow.wait_until_logged(RETRYING)
        own_store.start()
        flow.wait_until_stored(len(sent))
        own_store.kill()
        tries = len(flow.logged(RETRYING))
        sent |= produce(settings, 20)
        flow.wait_until_logged(RETRYING, tries + 1)
        own_store.start()
        flow.wait_until_stored(len(sent))
        assert flow.messages() == []
    run_archive(settings)
    assert stored_origins(settings) == each_once({topic.topic_id: sent})


def test_archive_loses_no_records_while_its_tables_are_maintained(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 5)
    with running_flow(settings, **FREQUENT_COMMITS) as flow:
        flow.wait_until_stored(len(sent))
        for maintain in MAINTENANCE.values():
            maintain(Storage.of(settings).open("events"))
            sent |= produce(settings, 5)
            flow.wait_until_stored(len(sent))
        assert flow.is_alive()
    assert stored_origins(settings) == each_once({topic.topic_id: sent})


def test_archive_reports_a_full_disk_in_two_lines_and_resumes_once_there_is_space(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 5)
    with running_flow(settings, SEMLOOP_STORAGE_RETRY_S="5") as flow:
        flow.wait_until_stored(len(sent))
        limit_file_size(flow.process.pid, 8192)
        sent |= produce(settings, 200)
        flow.wait_until_logged(RETRYING)
        limit_file_size(flow.process.pid, resource.RLIM_INFINITY)
        flow.wait_until_stored(len(sent))
        limit_file_size(flow.process.pid, 8192)
        sent |= produce(settings, 200)
        code, messages = flow.wait_for_exit()
    assert (code, len(messages)) == (1, 2), messages
    failed = f"Cannot commit to table events in {settings.lake}: File too large"
    assert messages[0].startswith(failed)
    assert messages[1] == CHECK_FOLDER
    files = {file.name for file in Path(settings.lake).rglob("events/*/*.parquet")}
    in_log = Storage.of(settings).open("events").file_uris()
    assert files == {Path(uri).name for uri in in_log}
    run_archive(settings)
    assert stored_origins(settings) == each_once({topic.topic_id: sent})


def test_redaction_key_reports_that_a_full_disk_prevents_its_creation(
    settings: Settings,
) -> None:
    storage = Storage.of(settings)
    with full_disk(0), pytest.raises(LakeError) as error:
        writer_key(settings, storage)
    assert error.value.what.endswith("can be neither read nor created: File too large.")
    assert "SEMLOOP_REDACTION_KEY" in error.value.todo
    assert list(storage.local_folder().iterdir()) == []
    assert writer_key(settings, storage)


# Permissions do not apply to root unless it drops CAP_DAC_OVERRIDE (1) before exec.
WITHOUT_ROOT_OVERRIDE = """
import ctypes, os, sys
if os.getuid() == 0:
    PR_CAPBSET_DROP = 24
    assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, 1, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-P", "-m", "semloop", *sys.argv[1:]])
"""


def test_read_only_lake_stops_archive_with_two_lines_but_can_be_queried(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 5)
    run_archive(settings)
    sent_later = produce(settings, 5)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", WITHOUT_ROOT_OVERRIDE, *arguments],
            env=processes.environment(settings),
            capture_output=True,
            text=True,
            timeout=60,
        )

    with read_only(Path(settings.lake)):
        done = run("run", "archive", "--until-caught-up")
        messages = [
            line for line in done.stderr.splitlines() if not line.startswith("{")
        ]
        assert (done.returncode, len(messages)) == (1, 2), messages
        failed = f"Cannot commit to table events in {settings.lake}: Permission denied"
        assert messages[0].startswith(failed)
        assert messages[1].startswith(
            "Check SEMLOOP_LAKE, and that this user or key may"
        )
        done = run("sql", "SELECT count(*) AS n FROM events", "--format", "json")
        assert json.loads(done.stdout) == [{"n": len(sent)}], done.stderr
        done = run("status")
        assert done.returncode == 0, done.stderr
    run_archive(settings)
    assert stored_origins(settings) == each_once({topic.topic_id: sent | sent_later})


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Remove write permission for all users from a folder and its content."""
    modes = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def limit_file_size(pid: int, size: int) -> None:
    """Limit the bytes per file of a process, which comes closest to a full disk."""
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
