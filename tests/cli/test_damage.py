"""A damaged file ends a command immediately, with its name and what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from semloop import layout
from semloop.settings import Settings
from semloop.storage.errors import CHECK_FILES
from semloop.storage.location import Storage
from tests.flows.reindex_lake import (
    LATER_MS,
    Events,
    overlapping_sessions,
    run_memory,
    small_poll_settings,
)
from tests.support.commands import execute

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("log_setup_restored")]

# With retries, a test would take longer than its time limit.
RETRY_S = "1000"
READERS = (("maintain", "reindex"), ("maintain", "rebuild", "--verify"))
VACUUM = ("maintain", "vacuum")
Damage = Callable[[Path], None]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def cut_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DATA: dict[str, Damage] = {"missing": Path.unlink, "cut": cut, "empty": empty}
LOG: dict[str, Damage] = {"missing": Path.unlink, "cut": cut_half}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = small_poll_settings(tmp_path_factory.mktemp("whole") / "lake")
    layout.bind(Storage.of(settings))
    events = Events(settings)
    events.add(overlapping_sessions(60))
    run_memory(settings, events, later_ms=LATER_MS)
    return Path(settings.lake)


@pytest.fixture
def lake(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "lake")
    return tmp_path / "lake"


def run(lake: Path, *command: str) -> tuple[int, str]:
    """Run a command on a lake; return its exit code and what it printed."""
    environ = {
        "SEMLOOP_LAKE": str(lake),
        "SEMLOOP_EMBEDDER": "hashing",
        "SEMLOOP_STORAGE_RETRY_S": RETRY_S,
    }
    code, out, err = execute(environ, *command)
    return code, out + err


@pytest.mark.parametrize("damage", DATA.values(), ids=list(DATA))
@pytest.mark.parametrize("table", ["events", "episodes", "streams"])
def test_a_damaged_data_file_is_named_with_what_to_do(
    lake: Path, table: str, damage: Damage
) -> None:
    path = min(lake.glob(f"{table}/**/*.parquet"))
    damage(path)
    for command in READERS:
        code, output = run(lake, *command)
        assert code == 1
        (what,) = [line for line in output.splitlines() if line.startswith("Cannot ")]
        assert path.name in what
        assert "tried for" not in what
        assert CHECK_FILES in output
    assert run(lake, *VACUUM)[0] == 0  # it reads the logs only


@pytest.mark.parametrize("damage", LOG.values(), ids=list(LOG))
@pytest.mark.parametrize("table", ["events", "episodes", "streams"])
@pytest.mark.parametrize("version", [0, 1])
def test_a_damaged_log_entry_is_named_with_what_to_do(
    lake: Path, table: str, damage: Damage, version: int
) -> None:
    entry = f"{table}/_delta_log/{version:020}.json"
    damage(lake / entry)
    for command in (VACUUM, *READERS):
        code, output = run(lake, *command)
        assert code == 1
        reason = "is missing" if damage is Path.unlink else "cannot be read"
        assert f"Cannot read table {table} in {lake}: {entry} {reason}." in output
        assert CHECK_FILES in output


def test_an_unusable_checkpoint_is_named(lake: Path) -> None:
    hint = lake / "events" / "_delta_log" / "_last_checkpoint"
    hint.write_text('{"version":900,"size":9}')
    code, output = run(lake, *VACUUM)
    assert code == 1
    assert "_last_checkpoint names version 900, which has no checkpoint." in output
    Storage(str(lake)).open("episodes").create_checkpoint()
    (found,) = (lake / "episodes" / "_delta_log").glob("*.checkpoint.parquet")
    cut(found)
    code, output = run(lake, *VACUUM)
    assert f"episodes/_delta_log/{found.name} cannot be read." in output


def test_an_empty_log_entry_is_found_by_the_check(lake: Path) -> None:
    entry = "episodes/_delta_log/00000000000000000002.json"
    empty(lake / entry)
    code, output = run(lake, "maintain", "check")
    assert code == 1
    assert f"the log of episodes cannot be read: {entry} cannot be read" in output


def test_sql_on_a_damaged_file_says_what_to_do(lake: Path) -> None:
    cut(min(lake.glob("events/**/*.parquet")))
    code, output = run(lake, "sql", "select count(distinct text) from events")
    assert (code, "`semloop maintain check`" in output) == (1, True)


def test_damage_in_an_object_store_is_named(s3_settings: Settings) -> None:
    settings = s3_settings.replace(
        embedder="hashing", commit_rows=1, fence_check_s=1_000
    )
    layout.bind(Storage.of(settings))
    events = Events(settings)
    events.add(overlapping_sessions(20))
    run_memory(settings, events, later_ms=LATER_MS)
    objects = Storage.of(settings).objects
    names = objects.names()
    data = next(n for n in names if n.startswith("events/date"))
    entry = "episodes/_delta_log/00000000000000000001.json"
    environ = {"SEMLOOP_LAKE": settings.lake, "SEMLOOP_EMBEDDER": "hashing"}
    environ["SEMLOOP_STORAGE_RETRY_S"] = RETRY_S
    for name in (data, entry):
        content = objects.read(name)
        objects.remove([name])
        for command in READERS:
            code, out, err = execute(environ, *command)
            assert code == 1, (name, command, out)
            assert name in out + err
            assert CHECK_FILES in err
        objects.put(name, content)
