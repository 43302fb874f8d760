"""The tables of `archive` on a faulty object store: no row is lost or duplicated.

tests/support/fault_proxy.py, in front of the store of the test run, injects the faults.
"""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pytest

from schemas.arrow import DEAD_LETTERS
from semloop.delta.streams import Partition
from semloop.errors import StorageUnavailable
from semloop.settings import Settings
from semloop.storage import object_store
from semloop.storage.errors import CHECK_NETWORK, CHECK_STORE
from semloop.storage.location import Storage
from sinks.archive_tables import ArchiveTables
from sinks.delta.commit_columns import with_commit_columns
from tests.sinks.writer_builder import add, stored, write, writer
from tests.support.builders import LOG, NOW, decoded_rows, keyed
from tests.support.fault_proxy import ALWAYS, Fault, FaultProxy
from tests.support.lakes import settings_on
from tests.support.services import Broker

TABLES = ("events", "dead_letters")
# More often than the libraries retry, so that our retries are needed.
OFTEN = 4


@pytest.fixture
def lake(
    proxy: FaultProxy, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Settings of a lake behind the proxy, initially without faults."""
    yield settings_on(proxy.endpoint, broker, monkeypatch)
    proxy.disarm()


FAULTS = {
    "many 503": (Fault.SLOW_DOWN, OFTEN),
    "a 500": (Fault.INTERNAL_ERROR, 1),
    "refused without a reason": (Fault.REFUSED, 1),
    "two resets": (Fault.RESET, 2),
    "lost reply": (Fault.LOST_REPLY, 1),
    "answer cut off": (Fault.CUT_OFF, 1),
}
REQUESTS = {
    "rows' file": ("PUT", "/events/date="),
    "entry of the log": ("PUT", "/events/_delta_log/"),
    "entry of the other log": ("PUT", "/dead_letters/_delta_log/"),
    "reading the log": ("GET", "/events/_delta_log/"),
}


def test_a_commit_is_stored_once_despite_faults_in_its_requests(
    proxy: FaultProxy, lake: Settings
) -> None:
    tables = writer(lake)
    tables.take_over()
    offset = 0
    for fault, (kind, times) in FAULTS.items():
        for request, (method, part) in REQUESTS.items():
            armed = proxy.arm(kind, method, part, times=times)
            write(tables, offset)
            proxy.disarm()
            # Not every commit reads.
            assert armed.happened or method == "GET", (fault, request)
            offset += 2
    evens = [(0, at) for at in range(0, offset, 2)]
    assert stored(lake, "events") == evens
    assert stored(lake, "dead_letters") == [(0, at + 1) for _, at in evens]
    assert writer(lake).take_over() == keyed({0: offset - 1, 1: -1})


STEPS = {
    "checking for the table": (Fault.REFUSED, "GET", "/events/_delta_log/"),
    "reading `streams`": (Fault.CUT_OFF, "GET", "/streams/_delta_log/"),
    "writing `streams`": (Fault.RESET, "PUT", "/streams/_delta_log/"),
    "rows of `streams`": (Fault.REFUSED, "PUT", "/streams/part-"),
    "fencing the main table": (Fault.RESET, "PUT", "/events/_delta_log/"),
    "fencing the other table": (Fault.RESET, "PUT", "/dead_letters/_delta_log/"),
    "reading dead letters": (Fault.CUT_OFF, "GET", "/dead_letters/date="),
    "reading the newest ids": (Fault.CUT_OFF, "GET", "/events/date="),
}


def test_a_start_succeeds_despite_faults_in_its_steps(
    proxy: FaultProxy, lake: Settings
) -> None:
    first = writer(lake)
    first.take_over()
    write(first, 0)
    # A crash between the two commits: the dead letter lies beyond the main offset.
    first._side.commit(letter(first, 3), keyed({0: 3}))
    other = replace(LOG, topic_id="topic-2")  # Must be registered in `streams`.
    for stream in (LOG, other):
        armed = {
            step: proxy.arm(fault, method, part)
            for step, (fault, method, part) in STEPS.items()
        }
        tables = writer(lake, stream=stream)
        offsets = tables.take_over()
        ids = tables.recent_ids()
        proxy.disarm()
        happened = {step for step, rule in armed.items() if rule.happened}
        if stream is LOG:
            assert (offsets, tables.already_dead_lettered) == (
                keyed({0: 1, 1: -1}),
                {(0, 3)},
            )
            assert len(ids[0][0]) == 1
            assert STEPS.keys() - happened == {"writing `streams`", "rows of `streams`"}
        else:
            assert offsets == {Partition("topic-2", 0): -1, Partition("topic-2", 1): -1}
            assert {"writing `streams`", "rows of `streams`"} <= happened
    again = writer(lake)
    again.take_over()
    write(again, 2)
    assert stored(lake, "events") == [(0, 0), (0, 2)]
    assert stored(lake, "dead_letters") == [(0, 1), (0, 3)]


def test_a_lake_is_created_despite_faults(proxy: FaultProxy, lake: Settings) -> None:
    faults = (Fault.RESET, Fault.LOST_REPLY, Fault.REFUSED, Fault.SLOW_DOWN)
    armed = [
        proxy.arm(fault, "PUT", f"/{table}/_delta_log/", skip=skip)
        for table in (*TABLES, "streams")
        for skip, fault in enumerate(faults)
    ]
    tables = writer(lake)
    assert tables.take_over() == keyed({0: -1, 1: -1})
    write(tables, 0)
    proxy.disarm()
    assert all(rule.happened for rule in armed[:8])
    assert stored(lake, "events") == [(0, 0)]


@pytest.mark.parametrize(
    ("method", "part", "start"),
    [
        ("GET", "/events/_delta_log/", "Cannot read table events in s3://"),
        ("PUT", "/streams/part-", "Cannot commit to table streams in s3://"),
        ("PUT", "/events/_delta_log/", "Cannot commit to table events in s3://"),
        ("GET", "/dead_letters/date=", "Cannot read table dead_letters in s3://"),
        ("GET", "/events/date=", "Cannot read table events in s3://"),
    ],
    ids=["open", "streams", "fence", "dead letters", "ids"],
)
def test_a_start_without_the_store_is_reported_in_one_line(
    proxy: FaultProxy, lake: Settings, method: str, part: str, start: str
) -> None:
    first = writer(lake)
    first.take_over()
    write(first, 0)
    armed = proxy.arm(Fault.SLOW_DOWN, method, part, times=ALWAYS)
    stream = replace(LOG, topic_id="topic-2") if "streams" in part else LOG
    tables = writer(hasty(lake), stream=stream)
    with pytest.raises(StorageUnavailable) as error:
        start_writer(tables)
    proxy.disarm()
    assert armed.happened
    assert_one_line(error.value, start)
    # The next writer finds all rows.
    assert writer(lake).take_over() == keyed({0: 1, 1: -1})


@pytest.mark.parametrize(
    ("fault", "part", "todo"),
    [
        (Fault.SLOW_DOWN, "/events/date=", CHECK_STORE),
        (Fault.RESET, "/events/_delta_log/", CHECK_NETWORK),
        (Fault.LOST_REPLY, "/events/_delta_log/", CHECK_NETWORK),
    ],
    ids=["503 for rows", "resets for the log", "lost replies for the log"],
)
def test_a_commit_without_the_store_is_reported_in_one_line(
    proxy: FaultProxy, lake: Settings, fault: Fault, part: str, todo: str
) -> None:
    tables = writer(hasty(lake))
    tables.take_over()
    proxy.arm(fault, "PUT", part, times=ALWAYS)
    proxy.arm(fault, "GET", part, times=ALWAYS)
    with pytest.raises(StorageUnavailable) as error:
        write(tables, 0)
    proxy.disarm()
    assert_one_line(error.value, "Cannot commit to table events in s3://", todo)
    # The commit may have succeeded and lost its reply; a new writer finds out.
    again = writer(lake)
    offset = again.take_over()[Partition(LOG.topic_id, 0)]
    assert offset == (1 if stored(lake, "events") else -1)
    if offset == -1:
        write(again, 0)
    assert stored(lake, "events") == [(0, 0)]
    assert stored(lake, "dead_letters") == [(0, 1)]


def test_redelivered_records_wait_for_a_store_that_cannot_be_read(
    proxy: FaultProxy, lake: Settings
) -> None:
    tables = writer(lake)
    tables.take_over()
    write(tables, 0)
    armed = proxy.arm(Fault.CUT_OFF, "GET", "/events/date=", times=OFTEN)
    rows = decoded_rows([(0, 2)], [], {0: 2}, last=True)
    ids = frozenset(rows.events["event_id"].to_pylist())
    add(tables, replace(rows, redelivered_ids=ids))
    assert armed.happened == OFTEN
    assert stored(lake, "events") == [(0, 0), (0, 2)]


def test_a_commit_makes_few_requests_with_a_long_log(
    proxy: FaultProxy, lake: Settings
) -> None:
    tables = writer(lake, owned=range(4))
    tables.take_over()
    for offset in range(30):
        add(tables, decoded_rows([(0, offset)], [], {0: offset}, last=True))
    reads = proxy.arm(Fault.ONLY_COUNTED, "GET HEAD", times=ALWAYS)
    writes = proxy.arm(Fault.ONLY_COUNTED, "PUT POST", times=ALWAYS)
    add(tables, decoded_rows([(0, 30)], [], {0: 30}, last=True))
    assert (writes.happened, reads.happened < 15) == (2, True), reads.happened
    seen = reads.happened
    tables._main.check_fences()
    assert reads.happened - seen < 5


def test_a_failed_checkpoint_does_not_repeat_its_commit(
    proxy: FaultProxy, lake: Settings
) -> None:
    tables = writer(lake)
    tables.open()
    for table in TABLES:
        handle = Storage.of(lake).open(table)
        handle.alter.set_table_properties({"delta.checkpointInterval": "2"})
    tables.take_over()
    armed = proxy.arm(Fault.REFUSED, "PUT POST", ".checkpoint.", times=ALWAYS)
    for offset in range(0, 6, 2):
        write(tables, offset)
    assert armed.happened
    assert stored(lake, "events") == [(0, 0), (0, 2), (0, 4)]


def test_late_requests_of_a_slow_store_change_nothing(
    proxy: FaultProxy, lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "ANSWER_S", 1)
    tables = writer(lake, timeout="1s")
    tables.take_over()
    held = [
        proxy.arm(Fault.STALLED, *REQUESTS["rows' file"]),
        proxy.arm(Fault.STALLED, *REQUESTS["entry of the log"]),
        proxy.arm(Fault.STALLED_REPLY, *REQUESTS["entry of the other log"]),
    ]
    write(tables, 0)
    # Now the store does not answer at all; a writer gives up, and another takes over.
    proxy.arm(Fault.STALLED, *REQUESTS["entry of the log"], times=ALWAYS)
    tables = writer(hasty(lake), timeout="1s", max_retries="0")
    with pytest.raises(StorageUnavailable):
        tables.take_over()
    proxy.disarm()
    newer = writer(lake)
    assert newer.take_over() == keyed({0: 1, 1: -1})
    # The stalled requests arrive only now, after newer commits.
    proxy.open_gate()
    write(newer, 2)
    assert [rule.happened for rule in held] == [1] * len(held)
    assert stored(lake, "events") == [(0, 0), (0, 2)]
    assert stored(lake, "dead_letters") == [(0, 1), (0, 3)]


def start_writer(tables: ArchiveTables) -> None:
    tables.take_over()
    tables.recent_ids()


def hasty(lake: Settings) -> Settings:
    """Settings with a short retry time."""
    return lake.replace(storage_retry_s=0.2)


def letter(tables: ArchiveTables, offset: int) -> pa.Table:
    """Return one dead letter in the schema of its table."""
    decoded = decoded_rows([], [(0, offset)], {})
    letters = pa.Table.from_batches([decoded.dead_letters])
    return with_commit_columns(letters, DEAD_LETTERS, NOW)


def assert_one_line(
    error: StorageUnavailable, start: str, todo: str = CHECK_STORE
) -> None:
    assert error.what.startswith(start), error.what
    assert error.what.endswith("(tried for 0.2 s)")
    assert error.what.isprintable()
    assert error.todo == todo
