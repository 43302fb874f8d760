"""Artifacts that no row names."""

import time
from datetime import timedelta

import pyarrow as pa
import pytest

from flows.retain import retain
from flows.vacuum import vacuum
from schemas.arrow import EVENTS
from semloop.artifacts import ArtifactReference, encode_references, session_folder
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from sinks.unnamed_artifacts import unnamed_artifacts
from tests.sources.events_table import EventsTable
from tests.support.builders import NOW, keyed


@pytest.fixture(params=["storage", "s3_settings"], ids=["folder", "s3"])
def lake(request: pytest.FixtureRequest) -> Storage:
    found: Storage | Settings = request.getfixturevalue(request.param)
    return found if isinstance(found, Storage) else Storage.of(found)


def name(table: EventsTable, offset: int, digest: str = "0") -> str:
    folder = session_folder("default", "s-1", NOW)
    return f"{folder}/{table.log.topic_id}-0-{offset}-0-{12 * digest}"


def put(table: EventsTable, offset: int, digest: str = "0") -> str:
    artifact = name(table, offset, digest)
    assert table.storage.create(artifact, b"{}")
    return artifact


def commit(table: EventsTable, offset: int, artifact: str | None = None) -> None:
    row = table.row(0, offset)
    if artifact is not None:
        reference = ArtifactReference("payload", "$.x", artifact, 2, 64 * "0", 0, 1)
        row["artifacts"] = encode_references([reference])
    table.table.commit(pa.Table.from_pylist([row], EVENTS), keyed({0: offset}), {})


def unnamed(table: EventsTable, age_s: float = -60.0) -> set[str]:
    found = unnamed_artifacts(table.storage, time.time() - age_s)
    return {file.name for file in found.all}


def test_artifacts_below_the_position_that_no_row_names_are_found(
    lake: Storage,
) -> None:
    table = EventsTable(lake, step=timedelta(seconds=1))
    named, left = put(table, 1), put(table, 1, "1")
    commit(table, 1, named)
    # A process that is about to commit it.
    put(table, 2)
    assert unnamed(table) == {left}
    assert unnamed(table, age_s=60.0) == set()
    commit(table, 3)
    assert unnamed(table) == {left, name(table, 2)}


def test_what_is_not_an_artifact_of_this_lake_is_left(storage: Storage) -> None:
    table = EventsTable(storage)
    commit(table, 9)
    other = name(table, 1).replace(table.log.topic_id, "of-another-topic")
    for path in (other, "artifacts/notes.txt", f"{name(table, 1)}.12.0a0b0c0d"):
        storage.create(path, b"")
    assert unnamed(table) == set()


def test_a_lake_without_events_has_nothing_unnamed(storage: Storage) -> None:
    assert unnamed_artifacts(storage, time.time()).all == ()
    storage.create("artifacts/2026/11/28/0123456789abcdef/t-0-0-0-0123456789ab", b"")
    assert unnamed_artifacts(storage, time.time() + 60).all == ()


def test_an_artifact_leaves_with_its_row(storage: Storage) -> None:
    settings = load({}, lake=storage.root).replace(vacuum_hours=0.0)
    table = EventsTable(storage)
    artifact = put(table, 1)
    commit(table, 1, artifact)
    assert vacuum(settings).deleted["artifacts"].files == 0
    table.now += timedelta(days=1)
    retain(settings.replace(retention={"events": 2.0}))
    assert vacuum(settings).deleted["artifacts"].files == 1
    assert storage.read(artifact) is None
