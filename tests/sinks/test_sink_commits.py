"""Every sink: a commit stores rows and offsets together, once."""

import json

import pytest
from deltalake import write_deltalake

from semloop.delta.streams import NEVER_READ
from semloop.storage.location import Storage
from tests.sinks.sink_contract import INT64_MAX, INT64_MIN, NOON, Sink, clean_log
from tests.sinks.wrapped_log import LosesReplies, Overtaken
from tests.support.builders import LOG, P0, P1, keyed

pytestmark = pytest.mark.usefixtures("fast_retries")


def names(sink: Sink, *partitions: int) -> set[str]:
    """Return the app ids that a commit of these partitions carries."""
    own = {LOG.app_id(sink.name, p) for p in partitions}
    return own | {name + "/fence" for name in own}


def transactions(sink: Sink, storage: Storage, version: int) -> dict[str, int]:
    """Return the numbers in an entry of the log."""
    entry = sink.log(storage) / f"{version:020}.json"
    actions = [json.loads(line) for line in entry.read_text().splitlines()]
    return {a["txn"]["appId"]: a["txn"]["version"] for a in actions if "txn" in a}


def test_rows_and_offsets_are_stored_in_one_commit(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage)
    before = storage.open(sink.name).version()
    writer.commit(sink.rows(0, 3), keyed({0: 2}))
    after = storage.open(sink.name)
    assert after.version() == before + 1
    assert sink.offsets(storage) == [(0, 0), (0, 1), (0, 2)]
    app_id = LOG.app_id(sink.name, 0)
    assert after.transaction_version(app_id) == 2
    after.load_as_version(before)
    assert (after.file_uris(), after.transaction_version(app_id)) == ([], NEVER_READ)


def test_every_commit_carries_the_offsets_of_all_owned_partitions(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage, (0, 1, 2))
    writer.commit(sink.rows(0, 3), keyed({0: 2}))
    writer.commit(None, keyed({2: 7}))
    version = writer.handle.version()
    for back, offsets in ((0, (2, -1, 7)), (1, (2, -1, -1)), (2, (-1, -1, -1))):
        found = transactions(sink, storage, version - back)
        assert found.keys() == names(sink, 0, 1, 2)
        assert tuple(found[LOG.app_id(sink.name, p)] for p in range(3)) == offsets


def test_a_commit_without_rows_stores_offsets(sink: Sink, storage: Storage) -> None:
    writer = sink.taken(storage)
    for rows in (None, sink.rows(0, 0)):
        writer.commit(rows, keyed({0: writer.offsets[P0] + 10}))
    assert writer.stored(P0) == 19
    assert storage.open(sink.name).file_uris() == []


@pytest.mark.parametrize("rows", [True, False], ids=["rows", "offsets alone"])
def test_a_commit_whose_reply_was_lost_is_recognised(
    sink: Sink, storage: Storage, rows: bool
) -> None:
    retries: list[tuple[str, str]] = []
    retried = lambda table, cause: retries.append((table, cause))  # noqa: E731
    log = sink.open_log(storage, LosesReplies)
    writer = sink.taken(storage, log=log, on_retry=retried)
    for first in (0, 2):
        log.lose = 1
        writer.commit(
            sink.rows(first, first + 2) if rows else None, keyed({0: first + 1})
        )
    assert retries == [(sink.name, "moved")] * 2
    assert sink.offsets(storage) == ([(0, o) for o in range(4)] if rows else [])
    assert (writer.stored(P0), storage.open(sink.name).version()) == (3, 3)


def test_a_commit_is_retried_after_contention(sink: Sink, storage: Storage) -> None:
    causes: list[str] = []
    retried = lambda _, cause: causes.append(cause)  # noqa: E731
    log = sink.open_log(storage, Overtaken)
    writer = sink.taken(storage, log=log, on_retry=retried)
    log.rivals = 2
    writer.commit(sink.rows(0, 2), keyed({0: 1}))
    assert causes == ["contention"] * 2
    assert sink.offsets(storage) == [(0, 0), (0, 1)]


def test_a_rewrite_of_the_table_does_not_stop_its_writer(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage)
    writer.commit(sink.rows(0, 3), keyed({0: 2}))
    predicate = f"date = '{NOON.date().isoformat()}'"
    handle = storage.open(sink.name)
    write_deltalake(handle, sink.rows(0, 3), mode="overwrite", predicate=predicate)
    writer.commit(sink.rows(3, 4), keyed({0: 3}))
    assert [offset for _, offset in sink.offsets(storage)] == [0, 1, 2, 3]
    storage.open(sink.name).delete("kafka_offset = 0")
    writer.commit(None, keyed({0: 4}))
    assert [offset for _, offset in sink.offsets(storage)] == [1, 2, 3]
    assert storage.open(sink.name).transaction_version(LOG.app_id(sink.name, 0)) == 4


def test_an_idle_handle_whose_log_was_cleaned_recovers(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage)
    writer.commit(sink.rows(0, 3), keyed({0: 2}))
    clean_log(storage, sink.name)
    writer.commit(sink.rows(3, 4), keyed({0: 3}))
    assert [offset for _, offset in sink.offsets(storage)] == [0, 1, 2, 3]


def test_an_offset_never_decreases(sink: Sink, storage: Storage) -> None:
    writer = sink.taken(storage)
    writer.commit(None, keyed({0: 7}))
    writer.commit(sink.rows(8, 9), keyed({0: 3, 1: 0}))
    assert (writer.stored(P0), writer.stored(P1)) == (7, 0)
    assert sink.taken(storage).offsets == keyed({0: 7, 1: 0})


@pytest.mark.parametrize("number", [INT64_MIN, -1, 0, 2**53 + 1, INT64_MAX])
def test_any_int64_is_unchanged_after_a_checkpoint(
    sink: Sink, storage: Storage, number: int
) -> None:
    writer = sink.taken(storage)
    writer.commit(None, keyed({0: number}), {(P0, "/kind"): number, (P1, "/kind"): 7})
    storage.open(sink.name).create_checkpoint()
    newer = sink.open(storage)
    assert (newer.stored(P0), newer.stored(P0, "/kind")) == (max(-1, number), number)
    assert (newer.stored(P1, "/kind"), newer.stored(P1, "/other")) == (7, None)
