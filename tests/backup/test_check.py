"""`semloop maintain check` names what a lake lacks, and what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from semloop import layout
from semloop.kafka.topic import Topic
from semloop.settings import LOCAL_FOLDER, Settings
from semloop.storage.location import Storage
from tests.cli.helpers import Semloop
from tests.flows.flow_runner import produce, run_archive
from tests.flows.memory_audit import SESSION_EVENTS, run_memory_flow, session_event
from tests.support.builders import an_event

Break = Callable[[Path, Path], None]


def files(lake: Path, pattern: str) -> list[Path]:
    found = sorted(lake.glob(pattern))
    assert found, pattern
    return found


def without(pattern: str, at: int = 0) -> Break:
    """Remove a file or folder."""

    def run(lake: Path, earlier: Path) -> None:
        path = files(lake, pattern)[at]
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return run


def cut(pattern: str) -> Break:
    """Cut the end of a file."""

    def run(lake: Path, earlier: Path) -> None:
        path = files(lake, pattern)[0]
        path.write_bytes(path.read_bytes()[:-1])

    return run


def older(table: str) -> Break:
    """Replace a table by an earlier state of it."""

    def run(lake: Path, earlier: Path) -> None:
        shutil.rmtree(lake / table)
        shutil.copytree(earlier / table, lake / table)

    return run


def newer_checkpoint(lake: Path, earlier: Path) -> None:
    """Name a checkpoint that the log does not have."""
    hint = lake / "events" / "_delta_log" / "_last_checkpoint"
    hint.write_text('{"version":900,"size":9}')


LACKING: dict[str, tuple[Break, str, str]] = {
    "a data file": (
        without("events/date=*/*.parquet"),
        ": 1 of 2 data files missing or cut, with 21 rows; for example events/date=",
        "Copy events again, in the order of docs/backup.md.",
    ),
    "a part of a data file": (
        cut("episodes/date=*/*.parquet"),
        ": 1 of 2 data files missing or cut, with 2 rows; for example episodes/date=",
        "remove the folder, and run `semloop maintain rebuild`.",
    ),
    "an entry of a log": (
        without("dead_letters/_delta_log/*2.json"),
        "FAIL  tables: the log of dead_letters cannot be read: ",
        "Copy dead_letters/_delta_log again",
    ),
    "a log": (
        without("streams/_delta_log"),
        "FAIL  tables: streams has 2 files, but no log",
        "Copy streams/_delta_log again",
    ),
    "a checkpoint": (
        newer_checkpoint,
        "FAIL  tables: the log of events cannot be read: ",
        "Copy events/_delta_log again",
    ),
    "the newest events": (
        older("events"),
        "FAIL  order: episodes is ahead of events by 21 offsets",
        "Copy events again",
    ),
    "the newest dead letters": (
        older("dead_letters"),
        "FAIL  order: dead_letters is older than events, by 21 offsets",
        "Copy dead_letters again",
    ),
    "the newest memories": (
        older("memories"),
        "but 1 closed episode and 17 events without one",
        "Copy memories again, in the order of docs/backup.md. Or fill them again: "
        "`semloop maintain reindex`.",
    ),
    "a file of the memories": (
        without("memories/*/data/*"),
        "FAIL  memories: generation 1 is incomplete: ",
        "`semloop maintain reindex`",
    ),
    "the memories": (
        without("memories"),
        "FAIL  memories: generation 1 is missing",
        "`semloop maintain reindex`",
    ),
    "an artifact": (
        without("artifacts/*/*/*/*/*"),
        "FAIL  artifacts: 1 of 1 artifact missing or cut, for example artifacts/",
        "Copy artifacts again",
    ),
    "the key": (
        without(f"{LOCAL_FOLDER}/redaction.key"),
        "warn  redaction key: the lake has one that is missing here",
        "To run `archive` here: ",
    ),
}


@pytest.fixture
def semloop(capsys: pytest.CaptureFixture[str]) -> Semloop:
    return Semloop(capsys)


@pytest.fixture
def states(settings: Settings, topic: Topic, tmp_path: Path) -> tuple[Path, Path]:
    """Return the folders of a lake and of an earlier state of it."""
    hashing = settings.replace(embedder="hashing", event_bytes_max=4_000)
    earlier = tmp_path / "earlier"
    for number in range(2):
        first = number * SESSION_EVENTS
        events = [
            session_event(first + n, f"session {number}") for n in range(SESSION_EVENTS)
        ]
        large = an_event(
            "state_change", payload={"to_state": "open", "reason": "x" * 20_000}
        )
        produce(hashing, [*events, b"bad", *([] if number else [large])], partition=0)
        run_archive(hashing)
        run_memory_flow(hashing)
        if not number:
            shutil.copytree(hashing.lake, earlier)
    return Path(hashing.lake), earlier


def test_what_a_copy_lacks_is_named_with_what_to_do(
    states: tuple[Path, Path],
    tmp_path: Path,
    semloop: Semloop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake, earlier = states
    monkeypatch.setenv("SEMLOOP_EMBEDDER", "hashing")
    for state in states:
        monkeypatch.setenv("SEMLOOP_LAKE", str(state))
        code, out, err = semloop.run("maintain", "check")
        assert (code, "warn 0, FAIL 0" in out, err) == (0, True, ""), out
    unnamed: dict[str, str] = {}
    for name, (damage, found, todo) in LACKING.items():
        copy = tmp_path / f"lake without {name}"
        shutil.copytree(lake, copy)
        damage(copy, earlier)
        monkeypatch.setenv("SEMLOOP_LAKE", str(copy))
        code, out, err = semloop.run("maintain", "check")
        assert (code, err) == (int("FAIL  " in out), ""), (name, out, err)
        assert "maintain check` says" not in out, (name, out)
        lines = zip(out.splitlines(), out.splitlines()[1:], strict=False)
        if not any(found in line and todo in after for line, after in lines):
            unnamed[name] = out
    assert not unnamed, "\n".join(f"{n}:\n{out}" for n, out in unnamed.items())


def test_a_lake_that_does_not_exist_is_not_checked(
    tmp_path: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLOOP_LAKE", str(tmp_path / "none"))
    what, _ = semloop.refused("maintain", "check")
    assert what.startswith("There is no lake at ")


def test_a_prefix_without_objects_is_not_checked(
    s3_settings: Settings, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.of(s3_settings)
    layout.bind(storage)
    monkeypatch.setenv("SEMLOOP_LAKE", s3_settings.lake)
    assert semloop.run("maintain", "check")[0] == 0
    monkeypatch.setenv("SEMLOOP_LAKE", f"{s3_settings.lake}-mistyped")
    what, todo = semloop.refused("maintain", "check")
    assert what.startswith(f"There is no lake at {s3_settings.lake}-mistyped: ")
    assert "SEMLOOP_LAKE" in todo
