"""Artifacts exist before a commit names them, also after a failure in between."""

import json
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from operators.artifacts.move import move_large_values
from operators.decoding.decode import decode
from schemas.arrow import arrow_schema
from schemas.batches import Decoded
from semloop import tables
from semloop.artifacts import decode_references
from semloop.delta.streams import StreamId
from semloop.errors import LakeError, StorageUnavailable
from semloop.lake.lake import Lake
from semloop.storage.listing import remove_files
from semloop.storage.location import Storage
from sinks.delta.create_table import REMOVED_RETENTION, create
from sinks.unnamed_artifacts import unnamed_artifacts
from tests.sinks.archive_builder import Archive, Crash
from tests.support.builders import LOG, NOW, a_poll, an_event, keyed

TEXT = "x" * 50_000
ELSEWHERE = replace(LOG, cluster_id="cluster-2")


def large_events(*contents: str, last: bool = False, stream: StreamId = LOG) -> Decoded:
    events = [an_event(payload={"role": "user", "content": c}) for c in contents]
    polled = replace(a_poll(*events), cluster_id=stream.cluster_id)
    poll = move_large_values(polled, 40_000, 2**20)
    positions = keyed({0: len(events) - 1})
    progress = replace(poll.progress, positions=positions, last=last)
    return decode(replace(poll, progress=progress), NOW, 2**20)


def objects(lake: Path) -> list[str]:
    files = lake.glob("artifacts/**/*")
    return sorted(str(f.relative_to(lake)) for f in files if f.is_file())


def named(lake: Path) -> list[str]:
    with Lake(lake) as opened:
        rows = opened.sql("SELECT artifacts FROM events ORDER BY kafka_offset")
        return [r.object for (c,) in rows.fetchall() for r in decode_references(c)]


def test_events_name_the_objects_that_hold_their_values(tmp_path: Path) -> None:
    decoded = large_events(TEXT, "short", TEXT + "!", last=True)
    archive = Archive(tmp_path).started()
    archive.loop.add(decoded)
    assert len(named(tmp_path)) == 2
    assert sorted(named(tmp_path)) == objects(tmp_path) == sorted(decoded.artifacts)
    for name in objects(tmp_path):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        assert (tmp_path / name).read_bytes() == decoded.artifacts[name]
    assert archive.counted("artifacts_total") == 2


def test_a_crash_before_the_commit_leaves_objects_that_the_next_writer_uses(
    tmp_path: Path,
) -> None:
    decoded = large_events(TEXT, last=True)
    archive = Archive(tmp_path).started()
    archive.budget.left = 0
    with pytest.raises(Crash):
        archive.loop.add(decoded)
    before = objects(tmp_path)
    assert before == list(decoded.artifacts)
    assert archive.stored() == []
    again = Archive(tmp_path).started()
    again.loop.add(decoded)
    assert named(tmp_path) == objects(tmp_path) == before


def test_a_failed_store_is_tried_again_before_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_object = Storage.create
    failures = ["busy", "busy"]

    def fail_twice(storage: Storage, name: str, data: bytes) -> bool:
        if name.startswith("artifacts/") and failures:
            failures.pop()
            msg = "The store does not answer."
            raise StorageUnavailable(msg, "Wait.")
        return create_object(storage, name, data)

    archive = Archive(tmp_path).started()
    monkeypatch.setattr(Storage, "create", fail_twice)
    archive.loop.add(large_events(TEXT, last=True))
    assert not failures
    assert named(tmp_path) == objects(tmp_path)


def test_an_event_that_is_not_stored_has_no_artifact(tmp_path: Path) -> None:
    decoded = large_events(TEXT, TEXT + "!", last=True)
    kept = replace(decoded, events=decoded.events.slice(1))
    Archive(tmp_path).started().loop.add(kept)
    assert objects(tmp_path) == named(tmp_path)
    assert len(objects(tmp_path)) == 1


def unnamed(archive: Archive) -> list[str]:
    """Return the artifacts that a vacuum would delete, were they old enough."""
    found = unnamed_artifacts(archive.storage, time.time() + 60)
    return sorted(file.name for file in found.all)


@pytest.mark.parametrize("is_killed", [False, True])
def test_the_artifact_of_an_event_that_cannot_be_stored_does_not_stay(
    tmp_path: Path, *, is_killed: bool
) -> None:
    decoded = large_events(TEXT, TEXT + "!", last=True)
    archive = Archive(tmp_path).started()
    archive.events.refused = frozenset({(0, 1)})
    # Killed after the other event was stored, before the dead letter of this one is.
    archive.budget.left = 1 if is_killed else None
    with pytest.raises(Crash) if is_killed else nullcontext():
        archive.loop.add(decoded)
    if is_killed:
        assert unnamed(archive) == []
        archive = Archive(tmp_path).started()
        archive.events.refused = frozenset({(0, 1)})
        archive.loop.add(replace(decoded, events=decoded.events.slice(1)))
    assert archive.stored() == [(0, 0)]
    assert archive.stored("dead_letters") == [(0, 1)]
    (kept,) = named(tmp_path)
    assert unnamed(archive) == [name for name in objects(tmp_path) if name != kept]
    assert len(objects(tmp_path)) == 2


def test_a_frozen_vacuum_deletes_nothing_that_a_new_log_names(tmp_path: Path) -> None:
    """The topic is read again as one of another cluster, with the same offsets."""
    left, again = large_events(TEXT), large_events(TEXT, last=True, stream=ELSEWHERE)
    old = Archive(tmp_path).started()
    for name, content in left.artifacts.items():
        assert old.storage.create(name, content)
    # Its row has expired.
    without = replace(left.progress, last=True)
    old.loop.add(replace(left, events=left.events.slice(1), progress=without))
    frozen = unnamed(old)
    assert frozen == list(left.artifacts)
    Archive(tmp_path, ELSEWHERE).started(new_log=True).loop.add(again)
    remove_files(old.storage, frozen)
    assert named(tmp_path) == objects(tmp_path) == list(again.artifacts)


def test_artifacts_count_as_memory_of_the_buffer(tmp_path: Path) -> None:
    archive = Archive(tmp_path, commit_bytes=30_000).started()
    archive.loop.add(large_events(TEXT))
    assert archive.stored() == [(0, 0)]


def test_a_table_of_an_earlier_version_gets_what_it_lacks(
    tmp_path: Path,
) -> None:
    storage = Archive(tmp_path).storage
    columns = {k: v for k, v in tables.EVENTS.items() if k != "artifacts"}
    uri = storage.uri("events")
    DeltaTable.create(uri, arrow_schema(columns), partition_by=["date"])
    version = DeltaTable(uri).version()
    create(storage, "events")
    create(storage, "events")
    # The columns, and how long the log remembers removed files.
    assert DeltaTable(uri).version() == version + 2
    assert DeltaTable(uri).metadata().configuration == REMOVED_RETENTION
    Archive(tmp_path).started().loop.add(large_events("a", TEXT, last=True))
    query = "SELECT artifacts IS NULL FROM events ORDER BY kafka_offset"
    with Lake(tmp_path) as lake:
        assert lake.sql(query).fetchall() == [(True,), (False,)]


def event_row(lake: Lake) -> dict[str, Any]:
    (row,) = lake.sql("FROM events").to_arrow_table().to_pylist()
    return dict(row)


def test_an_object_that_was_changed_is_an_error(tmp_path: Path) -> None:
    Archive(tmp_path).started().loop.add(large_events(TEXT, last=True))
    with Lake(tmp_path) as lake:
        event_id = event_row(lake)["event_id"]
        assert lake.artifact(event_id) == TEXT
        assert json.loads(lake.payload(event_id))["content"] == TEXT
        (tmp_path / objects(tmp_path)[0]).write_bytes(b'"forged"')
        with pytest.raises(LakeError, match="was changed after it was written"):
            lake.artifact(event_id)
        (tmp_path / objects(tmp_path)[0]).unlink()
        with pytest.raises(LakeError, match="does not exist"):
            lake.artifact(event_id)
