"""Records of flows, workers and hosts that are gone."""

from pathlib import Path

import msgspec
import pytest

from semloop.command.doctor.leftovers import activity as module
from semloop.progress.activity import Activity, file_name, files_of
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from semloop.storage.writers import Writer, WriterRecord, bind_stored
from tests.cli.helpers import Writer as LakeWriter
from tests.cli.helpers import named
from tests.doctor.leftover_checks import age, fix_all, left_over
from tests.doctor.run_checks import findings_of, problems


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    settings = load({}, lake=str(tmp_path / "lake"))
    LakeWriter(settings).write(*named("a"))
    return settings


def record(
    settings: Settings, flow: str, worker: int, *partitions: int, ended: bool = False
) -> Path:
    """Write what a worker of a flow writes, and return its path."""
    owned = [f"topic-1/{number}" for number in partitions]
    data = msgspec.json.encode(Activity(0, partitions=owned, ended=ended))
    Storage.of(settings).replace(file_name(flow, worker), data)
    return Path(settings.lake, file_name(flow, worker))


def removed(settings: Settings) -> bool:
    """Fix, and return whether something was removed; a second time nothing is."""
    found = left_over(settings, "activity", "lake")
    done = fix_all(settings, "activity", "lake")
    assert bool(found) == bool(done)
    assert problems(findings_of(settings, "lake", "activity")) == []
    return bool(done)


def test_a_flow_that_is_silent_for_a_day_is_forgotten(here: Settings) -> None:
    files = [record(here, "memory", n, n) for n in (0, 1)]
    age(files[0])
    assert not removed(here)
    age(*files)
    found = left_over(here, "activity", "lake")
    assert found is not None
    assert "2 records of flows, workers or hosts that are gone, for 1 d" in found.found
    assert "_activity/memory-0.json, _activity/memory-1.json" in found.found
    assert all(path.exists() for path in files)
    assert removed(here)
    assert [p.name for p in Path(here.lake, "_activity").iterdir()] == [
        "archive-0.json"
    ]


def test_a_flow_that_was_stopped_is_not_forgotten(here: Settings) -> None:
    path = record(here, "memory", 0, 0, ended=True)
    age(path)
    assert not removed(here)
    assert path.exists()


def test_workers_of_an_earlier_larger_set_are_removed_from_the_end(
    here: Settings,
) -> None:
    files = [record(here, "memory", n, n) for n in range(4)]
    files[0] = record(here, "memory", 0, 0, 1, 2)
    age(*files[1:])
    assert not removed(here)  # the last one has a partition that no other has
    files[0] = record(here, "memory", 0, 0, 1, 2, 3)
    assert removed(here)
    assert [path.exists() for path in files] == [True, False, False, False]


def test_a_worker_before_one_that_runs_is_kept(here: Settings) -> None:
    files = [record(here, "memory", n, n) for n in range(3)]
    record(here, "memory", 2, 0, 1, 2)
    age(*files[:2])
    assert not removed(here)
    assert all(path.exists() for path in files)


def test_each_topic_has_flows_of_its_own(here: Settings) -> None:
    other = files_of("memory", "another-topic")
    silent, alive = record(here, other, 0, 0), record(here, "memory", 0, 0)
    stopped = record(here, files_of("memory", "a-third-topic"), 0, 0, ended=True)
    age(silent, stopped)
    assert removed(here)
    assert [path.exists() for path in (silent, alive, stopped)] == [False, True, True]


def test_a_flow_that_no_longer_exists_is_forgotten(here: Settings) -> None:
    path = record(here, "rollup", 0)
    assert not removed(here)
    age(path)
    assert removed(here)
    assert not path.exists()


def test_a_host_that_is_gone_is_forgotten(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.of(s3_settings)
    LakeWriter(s3_settings).write(*named("a"))
    WriterRecord(storage, "archive").start()
    own = Writer(
        bind_stored(storage).id, "memory", 0, "gone", 7, "2026-11-28T00:00:00+00:00"
    )
    ended = msgspec.structs.replace(own, process=1, ended=True)
    for each in (own, ended):
        storage.objects.put(each.name, msgspec.json.encode(each))
    assert not removed(s3_settings)
    # Times of objects cannot be set.
    monkeypatch.setattr(module, "SAFE_S", -60.0)
    monkeypatch.setattr(module, "STREAMING", {"memory": None})
    assert removed(s3_settings)
    names = [n for n in storage.objects.names() if n.startswith("_writers/")]
    assert sorted(names) == ["_writers/archive-0.json", ended.name]
