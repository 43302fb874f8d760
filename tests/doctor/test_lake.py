"""What doctor tries on a lake: it finds a careless store and leaves nothing behind."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from semloop.command.doctor import State, commits, lake
from semloop.command.doctor.commits import Folder, tried
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from tests.doctor.conftest import Read, Send
from tests.doctor.examined import bad, examined, only
from tests.stores import BUCKET, KEY, SECRET

KEYS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.fixture
def folder(tmp_path: Path) -> Settings:
    """A lake in a folder, and no broker."""
    path = tmp_path / "la ke ü"
    path.mkdir()
    return load({}, lake=str(path), kafka="127.0.0.1:1", commit_interval_s=60)


def left(settings: Settings) -> list[str]:
    """What is in a lake on S3."""
    return Storage.of(settings).objects.names()


def test_of_16_writers_in_a_folder_one_wins_and_nothing_is_left(
    folder: Settings,
) -> None:
    found = examined(folder, "lake", "commits")
    assert bad(found) == []
    told = [f.found for f in found]
    assert told[0] == "a second writer of a file is refused (a hard link)"
    assert "is written in" in told[1]
    assert told[2] == "of 16 writers at once exactly one wins (3 races)"
    assert list(Path(folder.lake).iterdir()) == []


def test_a_lake_that_is_not_there_is_not_made(folder: Settings) -> None:
    Path(folder.lake).rmdir()
    skipped = only(examined(folder, "lake"))
    assert (skipped.state, "There is no lake at" in skipped.found) == (State.SKIP, True)
    assert "`semloop up`" in skipped.todo
    assert only(examined(folder, "lake", "commits")).state is State.SKIP
    assert not Path(folder.lake).exists()
    Path(folder.lake).write_text("")
    assert only(examined(folder, "lake")).found.endswith("is no folder")


def test_tables_are_told_with_their_versions(settings: Settings, read: Read) -> None:
    read(5)
    first, *_ = examined(settings, "lake")
    assert first.found.startswith("tables: events (version 2, 1 file), dead_letters")


def test_a_lake_of_another_layout_fails(folder: Settings) -> None:
    Path(folder.lake, "_layout.json").write_text('{"layout": 99}')
    finding = only(examined(folder, "lake"))
    assert (finding.state, "has layout 99" in finding.found) == (State.FAIL, True)


class Careless(Folder):
    """A file system on which whoever comes last wins."""

    def make(self, name: str, data: bytes) -> bool:
        Path(self._root, name).write_bytes(data)
        return True


class CarelessInARace(Folder):
    """One that looks first and writes then, as some caches do."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._all = threading.Barrier(commits.RACERS)

    def make(self, name: str, data: bytes) -> bool:
        if name.endswith("-0"):
            return super().make(name, data)
        there = Path(self._root, name).exists()
        self._all.wait(10)
        Path(self._root, name).write_bytes(data)
        return not there


class Mute(Folder):
    """One on which nobody ever wins a race."""

    def make(self, name: str, data: bytes) -> bool:
        return super().make(name, data) and name.endswith("-0")


class Swaps(Folder):
    """One that keeps the content of somebody who lost."""

    def read(self, name: str) -> bytes:
        return super().read(name) if name.endswith("-0") else b"another"


class Keeps(Folder):
    """One that lets nobody remove a file."""

    def remove(self, name: str) -> None:
        raise PermissionError


@pytest.mark.parametrize(
    ("kind", "state", "found"),
    [
        (Careless, State.FAIL, "a file that is there was made a second time: a hard link is ignored"),
        (CarelessInARace, State.FAIL, "of 16 writers at once 16 won"),
        (Mute, State.FAIL, "of 16 writers at once none won"),
        (Swaps, State.FAIL, "the file is not that of the writer who won"),
    ],
)  # fmt: skip
def test_a_careless_file_system_is_found_out(
    folder: Settings, kind: type[Folder], state: State, found: str
) -> None:
    findings = bad(list(tried(folder, kind(folder.lake))))
    assert found in findings[-1].found or found in findings[0].found
    assert {f.state for f in findings} == {state}
    assert list(Path(folder.lake).iterdir()) == []


def test_a_probe_that_cannot_be_removed_is_named(folder: Settings) -> None:
    place = Keeps(folder.lake)
    place.write = lambda name, data: None  # type: ignore[method-assign]
    finding = only(list(tried(folder, place)))
    assert finding.state is State.WARN
    (name, *_) = sorted(path.name for path in Path(folder.lake).iterdir())
    assert finding.found == f"{name} could not be removed again"


def test_a_slow_store_is_told(folder: Settings) -> None:
    hurried = folder.replace(commit_interval_s=1e-9)
    finding = only(examined(hurried, "lake", "commits"))
    assert (finding.state, "SEMLOOP_COMMIT_INTERVAL_S" in finding.todo) == (State.WARN, True)  # fmt: skip


def test_a_file_system_without_links_is_told(
    folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    finding = only(examined(folder, "lake", "commits"))
    assert finding.found == "the file system of the lake has no hard links"
    assert list(Path(folder.lake).iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "state"),
    [("ext4", State.OK), ("nfs4", State.WARN), ("cifs", State.WARN), ("fuse.sshfs", State.WARN)],
)  # fmt: skip
def test_a_shared_file_system_is_told(tmp_path: Path, kind: str, state: State) -> None:
    place = tmp_path / "a b"
    mounts = tmp_path / "mounts"
    written = str(place).replace(" ", "\\040")
    mounts.write_text(
        f"x / xfs rw 0 0\nx {tmp_path} btrfs rw 0 0\nx {written} {kind} rw 0 0\n"
        f"x {written}c zfs rw 0 0\n"
    )
    (finding,) = lake._file_system(place / "lake", mounts)
    assert finding.state is state
    assert kind in finding.found
    assert lake.file_system(tmp_path / "elsewhere", mounts) == "btrfs"
    assert lake.file_system(place, tmp_path / "none") == ""


def test_a_store_on_s3_refuses_the_second_and_nothing_is_left(
    s3_settings: Settings,
) -> None:
    patient = s3_settings.replace(commit_interval_s=60)
    found = examined(patient, "lake", "commits")
    assert found[0].found == "a second writer of a file is refused (`If-None-Match: *`)"
    assert found[0].state is found[1].state is State.OK
    assert left(s3_settings) == []


@pytest.mark.real_store
def test_of_16_writers_on_s3_one_wins(s3_settings: Settings) -> None:
    patient = s3_settings.replace(commit_interval_s=60)
    assert bad(examined(patient, "lake", "commits")) == []
    assert left(s3_settings) == []


def test_a_store_that_ignores_the_condition_is_found_out(
    s3_settings: Settings, careless_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", careless_endpoint)
    first, *_, race = bad(examined(s3_settings, "lake", "commits"))
    assert first.state is race.state is State.FAIL
    assert first.found == "a file that is there was made a second time: `If-None-Match: *` is ignored"  # fmt: skip
    assert race.found.startswith("of 16 writers at once 16 won")
    assert left(s3_settings) == []


def test_a_missing_bucket_is_told(s3_settings: Settings) -> None:
    nowhere = s3_settings.replace(lake="s3://nobody/made/it")
    finding = only(examined(nowhere, "lake"))
    assert finding.found.endswith("NoSuchBucket.")
    assert finding.todo.startswith("Create the bucket")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[BaseHTTPRequestHandler]]:
    """A store of which nothing but the time is asked; `ahead` and `status` are its."""

    class Store(BaseHTTPRequestHandler):
        ahead: float | None = 0.0
        status = 200

        def do_HEAD(self) -> None:
            self.send_response_only(self.status)
            if self.ahead is not None:
                date = datetime.now(UTC) + timedelta(seconds=self.ahead)
                self.send_header("Date", format_datetime(date, usegmt=True))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """The test looks at what doctor says."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    yield Store
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize(
    ("ahead", "state", "found"),
    [
        (0.0, State.OK, "within 2 s of the object store's"),
        (10.0, State.WARN, " s behind the object store's"),
        (-10.0, State.WARN, " s ahead of the object store's"),
        (400.0, State.FAIL, " s behind the object store's"),
        (None, State.SKIP, "the object store does not tell its time"),
    ],
)
def test_a_wrong_clock_is_told(
    clock: type[BaseHTTPRequestHandler],
    status: int,
    ahead: float | None,
    state: State,
    found: str,
) -> None:
    clock.ahead, clock.status = ahead, status  # type: ignore[attr-defined]
    settings = load({}, lake=f"s3://{BUCKET}", kafka="127.0.0.1:1")
    finding, of_broker = examined(settings, "clock")
    assert finding.state is state
    assert found in finding.found
    assert bool(finding.todo) == (state is not State.OK)
    assert of_broker.state is State.SKIP


def test_the_time_of_the_newest_record_is_told(settings: Settings, send: Send) -> None:
    here, empty = examined(settings, "broker", "topic", "clock")
    assert here.found == "the lake is on this machine: one clock"
    assert (empty.state, empty.found) == (
        State.SKIP,
        "of the broker: the topic is empty",
    )
    send(3)
    _, now = examined(settings, "broker", "topic", "clock")
    assert (now.state, "not from the future" in now.found) == (State.OK, True)
    send(1, int((datetime.now(UTC).timestamp() + 3_600) * 1000))
    finding = only(examined(settings, "broker", "topic", "clock"))
    assert finding.state is State.WARN
    assert "in the future, by its producer's clock" in finding.found
    stamped = {"message.timestamp.type": "LogAppendTime"}
    finding = only(examined(settings, "broker", "topic", "clock", **stamped))
    assert "by the broker's clock" in finding.found
