"""Host programs that close descriptors that are not theirs, as daemons do."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from semloop.agent.connection import Connection
from semloop.agent.sender import Sender
from semloop.agent.sentinel import Sentinel
from semloop.agent.spool.folder import Owner
from semloop.agent.spool.mapping import Mapping
from semloop.agent.spool.names import spool_name
from semloop.agent.spool.orphans import Orphans
from semloop.agent.spool.reader import Reader
from semloop.agent.spool.segment import Segment
from semloop.settings import Settings
from tests.sdk.sent_events import sent, sent_ids
from tests.sdk.spooled import (
    Drops,
    a_writer,
    adopted,
    close_lock,
    events_of,
    left_events,
    replace,
    taken,
)
from tests.support.processes import ROOT, environment
from tests.support.services import wait_for

# Closes what it does not know, without a fork, and opens files of its own.
DAEMON = """
import json, os, sys, time
from semloop import Agent
agent = Agent("tester")
s = agent.session("s-1")
def emit(count):
    return [s.state_change(str(number)) for number in range(count)]
emitted = emit(20)
if sys.argv[2] == "connected":
    assert agent.flush(60)
os.closerange(3, 512)
others = [os.open(os.devnull, os.O_RDWR) for _ in range(int(sys.argv[1]))]
emitted += emit(20)
flushed = agent.flush(30)
emitted += emit(20)
print(json.dumps([emitted, flushed and agent.flush(30), agent.dropped]))
"""


def test_a_lock_that_the_host_has_closed_is_locked_again(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    reader = Reader(writer.chain, Drops(), live=True)
    writer.append(b"s", b"one")
    close_lock(writer)
    writer.maintain()
    assert adopted(tmp_path) is None
    writer.append(b"s", b"two")
    # While it was free, another process may have sent the first.
    found = [(r.content.event, r.handed_before) for r in taken(reader)]
    assert found == [(b"one", True), (b"two", False)]
    assert writer.close() == 0


def test_a_number_that_is_a_file_of_the_host_now_is_not_touched(tmp_path: Path) -> None:
    writer = a_writer(tmp_path / "spool")
    writer.append(b"s", b"one")
    other = close_lock(writer)
    replace(other, tmp_path / "other")
    writer.maintain()
    assert writer.close() == 0
    # Neither written to, nor locked, nor closed.
    assert os.fstat(other).st_size == 0
    second = os.open(tmp_path / "other", os.O_RDWR)
    fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(second)
    os.close(other)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="`mmap` keeps no descriptor")
def test_bytes_that_a_client_writes_to_a_closed_number_damage_no_file(
    tmp_path: Path,
) -> None:
    writer = a_writer(tmp_path)
    reader = Reader(writer.chain, Drops(), live=True)
    for number in range(300):
        writer.append(b"s", b"%d" % number * 400)
    # The host has closed the numbers of the client; `mmap` has one of them now.
    for segment in writer.chain:
        assert isinstance(segment.memory, Mapping | None)
        if segment.memory is not None:
            for _ in range(9):
                os.write(segment.memory._copy, b"\x01")
    first, *_ = taken(reader, 100)
    reader.finish(first)
    reader.rewind()  # maps all but the last again
    assert len(taken(reader)) == 299
    close_lock(writer)
    drops = Drops()
    assert len(left_events(tmp_path, drops=drops)) == 299
    assert not drops


@pytest.mark.parametrize("is_done", [False, True])
def test_files_that_another_process_has_adopted_are_left_to_it(
    tmp_path: Path, *, is_done: bool
) -> None:
    writer = a_writer(tmp_path)
    drops = Drops()
    reader = Reader(writer.chain, drops, live=True)
    for number in range(300):
        writer.append(b"s", b"%d" % number * 400)
    reader.rewind()  # after an outage only the newest segment stays mapped
    close_lock(writer)
    orphan = adopted(tmp_path)
    assert orphan is not None
    if is_done:
        assert len(events_of(orphan.reader)) == 300
        orphan.close()
    else:
        for record in taken(orphan.reader, 100):
            orphan.reader.finish(record)
    # The other one has read to the end here, and will not see this.
    writer.append(b"s", b"late")
    writer.maintain()
    writer.append(b"s", b"later")
    records = taken(reader)
    assert all(r.handed_before for r in records[:-1])
    assert [r.content.event for r in records][-2:] == [b"late", b"later"]
    assert len(records) == (2 if is_done else 202)
    for record in records:
        reader.finish(record)
    assert reader.finished == writer.emitted == 302
    assert reader.elsewhere == 302 - len(records)
    assert not drops
    assert writer.close() == 0
    if not is_done:
        orphan.close()
    assert list(tmp_path.iterdir()) == []


def test_what_was_adopted_and_is_emitted_later_survives_the_process(
    tmp_path: Path,
) -> None:
    writer = a_writer(tmp_path)
    writer.append(b"s", b"one")
    close_lock(writer)
    orphan = adopted(tmp_path)
    assert orphan is not None
    assert events_of(orphan.reader) == [b"one"]
    orphan.close()
    writer.append(b"s", b"two")
    writer.maintain()
    writer.release()
    orphan = adopted(tmp_path)
    assert orphan is not None
    [record] = taken(orphan.reader)
    assert (record.content.event, record.handed_before) == (b"two", True)
    orphan.release()


def test_a_folder_that_was_removed_is_created_again_with_what_is_in_memory(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "spool"
    writer = a_writer(folder)
    writer.append(b"s", b"one")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    writer.maintain()
    writer.append(b"s", b"two")
    writer.release()
    assert left_events(folder) == [b"one", b"two"]


def test_a_mapping_never_closes_a_file_of_the_host(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path / "x.seg", 4096)
    assert isinstance(segment.memory, Mapping)
    number = segment.memory._copy
    replace(number, tmp_path / "other")
    segment.release()
    os.write(number, b"still open")
    os.close(number)
    before = len(os.listdir("/proc/self/fd"))
    segment.view()
    segment.release()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_sentinel_notices_that_its_number_is_of_another_file(tmp_path: Path) -> None:
    sentinel = Sentinel()
    lost = [sentinel.is_lost]
    sentinel.set()
    lost.append(sentinel.is_lost)
    other = sentinel._descriptor
    os.close(other)
    lost.append(sentinel.is_lost)
    replace(other, tmp_path / "other")
    lost.append(sentinel.is_lost)
    assert lost == [False, False, True, True]
    sentinel.close()
    os.write(other, b"still open")
    os.close(other)


def test_an_adopted_file_whose_lock_was_closed_is_left_to_the_next(
    tmp_path: Path,
) -> None:
    writer = a_writer(tmp_path)
    writer.append(b"s", b"one")
    writer.release()
    orphan = adopted(tmp_path)
    assert orphan is not None
    held = [orphan.is_held]
    os.close(orphan._owner._descriptor)
    assert [*held, orphan.is_held] == [True, False]
    Owner(tmp_path, orphan._owner.stem).release()
    orphan.release()


# NOTE: in one of many runs the Kafka client crashed the program (SIGSEGV) after its
# descriptors were closed, so this is no everyday test; docs/agents.md says so.
@pytest.mark.process
@pytest.mark.storm
@pytest.mark.parametrize("others", [0, 40])
@pytest.mark.parametrize("when", ["connected", "connecting"])
def test_a_program_that_closes_all_descriptors_is_connected_again(
    settings: Settings, tmp_path: Path, others: int, when: str
) -> None:
    own = settings.replace(spool=str(tmp_path / "spool"))
    done = subprocess.run(
        [sys.executable, "-c", DAEMON, str(others), when],
        env=environment(own, SEMLOOP_SPOOL=own.agent.spool, SEMLOOP_AGENT_FLUSH_S="10"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[1:] == [True, 0], done.stderr
    assert sorted(sent_ids(own)) == sorted(json.loads(done.stdout)[0])
    assert len(sent(own)) >= 60
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_program_that_closes_descriptors_during_the_search_is_noticed(
    settings: Settings, tmp_path: Path
) -> None:
    connection = Connection(settings)
    assert connection.open() is None
    number = connection._sentinel._descriptor
    replace(number, tmp_path / "other")
    wait_for("the broker", connection.open)
    assert connection.is_cut
    connection.close()
    os.close(number)


def test_a_lost_lock_of_another_process_does_not_make_the_broker_unavailable(
    settings: Settings, tmp_path: Path
) -> None:
    own = settings.replace(spool=str(tmp_path / "spool"))
    left = a_writer(tmp_path / "spool", spool_name(own))
    sender = Sender(own, a_writer(None).chain, Drops())
    wait_for("the broker", lambda: (sender.work(), sender.available)[1])
    left.append(b"s", b"{}")
    left.release()
    sender._orphan = Orphans(tmp_path / "spool", [spool_name(own)], Drops()).next()
    assert sender._orphan is not None
    os.close(sender._orphan._owner._descriptor)
    sender.work()
    assert [sender.available, sender._orphan] == [True, None]
    sender.close()
