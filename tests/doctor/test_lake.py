"""The checks of lake, commits and clocks: they find unsafe stores, and clean up."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from semloop.command.doctor import State, commits, lake
from semloop.command.doctor.commits import Folder, probed
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from tests.doctor.run_checks import Read, Send, findings_of, only_problem, problems
from tests.support.stores import BUCKET, KEY, SECRET

KEYS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.fixture
def folder(tmp_path: Path) -> Settings:
    """A lake in a folder, without a broker."""
    path = tmp_path / "la ke ü"
    path.mkdir()
    return load({}, lake=str(path), kafka="127.0.0.1:1", commit_interval_s=60)


def objects_in(settings: Settings) -> list[str]:
    """Return the objects in a lake on S3."""
    return Storage.of(settings).objects.names()


def test_commit_check_accepts_a_folder_and_leaves_no_file(
    folder: Settings,
) -> None:
    found = findings_of(folder, "lake", "commits")
    assert problems(found) == []
    shown = [f.found for f in found]
    assert shown[0] == "creating an existing file is rejected (a hard link)"
    assert "writing a small file takes" in shown[1]
    assert shown[2] == "exactly one of 16 concurrent writers creates a file (3 races)"
    assert list(Path(folder.lake).iterdir()) == []


def test_lake_check_skips_a_missing_lake_without_creating_it(folder: Settings) -> None:
    Path(folder.lake).rmdir()
    skipped = only_problem(findings_of(folder, "lake"))
    assert (skipped.state, "There is no lake at" in skipped.found) == (State.SKIP, True)
    assert "`semloop up`" in skipped.todo
    assert only_problem(findings_of(folder, "lake", "commits")).state is State.SKIP
    assert not Path(folder.lake).exists()
    Path(folder.lake).write_text("")
    assert only_problem(findings_of(folder, "lake")).found.endswith("is not a folder")


def test_lake_check_shows_the_tables_with_their_versions(
    settings: Settings, read: Read
) -> None:
    read(5)
    first, *_ = findings_of(settings, "lake")
    assert first.found.startswith("tables: events (version 2, 1 file), dead_letters")


@pytest.mark.parametrize(("number", "state"), [(99, State.FAIL), (2, State.WARN)])
def test_lake_check_finds_another_layout(
    folder: Settings, number: int, state: State
) -> None:
    Path(folder.lake, "_layout.json").write_text(f'{{"layout": {number}}}')
    finding = only_problem(findings_of(folder, "lake"))
    assert (finding.state, f"layout {number}" in finding.found) == (state, True)


class Overwrites(Folder):
    """A file system on which the last writer wins."""

    def create(self, name: str, data: bytes) -> bool:
        Path(self._root, name).write_bytes(data)
        return True


class OverwritesInARace(Folder):
    """A file system that checks first and writes later, as some caches do."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._barrier = threading.Barrier(commits.RACERS)

    def create(self, name: str, data: bytes) -> bool:
        if name.endswith("-0"):
            return super().create(name, data)
        existed = Path(self._root, name).exists()
        self._barrier.wait(60)
        Path(self._root, name).write_bytes(data)
        return not existed


class RejectsAll(Folder):
    """A file system that rejects all writers in a race."""

    def create(self, name: str, data: bytes) -> bool:
        return super().create(name, data) and name.endswith("-0")


class SwapsContent(Folder):
    """A file system that stores the content of a rejected writer."""

    def read(self, name: str) -> bytes:
        return super().read(name) if name.endswith("-0") else b"another"


class KeepsFiles(Folder):
    """A file system that denies permission to remove files."""

    def remove(self, name: str) -> None:
        raise PermissionError


@pytest.mark.parametrize(
    ("kind", "state", "found"),
    [
        (Overwrites, State.FAIL, "an existing file was overwritten: a hard link is ignored"),
        (OverwritesInARace, State.FAIL, "16 of 16 concurrent writers created the same file"),
        (RejectsAll, State.FAIL, "none of 16 concurrent writers could create a file"),
        (SwapsContent, State.FAIL, "a file has the content of a rejected writer"),
    ],
)  # fmt: skip
def test_commit_check_fails_for_an_unsafe_file_system(
    folder: Settings, kind: type[Folder], state: State, found: str
) -> None:
    findings = problems(list(probed(folder, kind(folder.lake))))
    assert found in findings[-1].found or found in findings[0].found
    assert {f.state for f in findings} == {state}
    assert list(Path(folder.lake).iterdir()) == []


def test_commit_check_names_a_file_that_it_cannot_remove(folder: Settings) -> None:
    store = KeepsFiles(folder.lake)
    store.write = lambda name, data: None  # type: ignore[method-assign]
    finding = only_problem(list(probed(folder, store)))
    assert finding.state is State.WARN
    (name, *_) = sorted(path.name for path in Path(folder.lake).iterdir())
    assert finding.found == f"the test file {name} could not be removed"


def test_commit_check_warns_about_a_slow_store(folder: Settings) -> None:
    hurried = folder.replace(commit_interval_s=1e-9)
    finding = only_problem(findings_of(hurried, "lake", "commits"))
    assert (finding.state, "SEMLOOP_COMMIT_INTERVAL_S" in finding.todo) == (State.WARN, True)  # fmt: skip


def test_commit_check_fails_for_a_file_system_without_hard_links(
    folder: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    finding = only_problem(findings_of(folder, "lake", "commits"))
    assert finding.found == "the file system of the lake has no hard links"
    assert list(Path(folder.lake).iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "state"),
    [("ext4", State.OK), ("nfs4", State.WARN), ("cifs", State.WARN), ("fuse.sshfs", State.WARN)],
)  # fmt: skip
def test_lake_check_warns_about_a_network_file_system(
    tmp_path: Path, kind: str, state: State
) -> None:
    mount = tmp_path / "a b"
    mounts = tmp_path / "mounts"
    escaped = str(mount).replace(" ", "\\040")
    mounts.write_text(
        f"x / xfs rw 0 0\nx {tmp_path} btrfs rw 0 0\nx {escaped} {kind} rw 0 0\n"
        f"x {escaped}c zfs rw 0 0\n"
    )
    (finding,) = lake._file_system(mount / "lake", mounts)
    assert finding.state is state
    assert kind in finding.found
    assert lake.file_system(tmp_path / "elsewhere", mounts) == "btrfs"
    assert lake.file_system(mount, tmp_path / "none") == ""


def test_commit_check_accepts_s3_and_leaves_no_object(
    s3_settings: Settings,
) -> None:
    patient = s3_settings.replace(commit_interval_s=60)
    found = findings_of(patient, "lake", "commits")
    assert (
        found[0].found == "creating an existing file is rejected (`If-None-Match: *`)"
    )
    assert found[0].state is found[1].state is State.OK
    assert objects_in(s3_settings) == []


@pytest.mark.real_store
def test_commit_check_races_16_writers_on_s3(s3_settings: Settings) -> None:
    patient = s3_settings.replace(commit_interval_s=60)
    assert problems(findings_of(patient, "lake", "commits")) == []
    assert objects_in(s3_settings) == []


def test_commit_check_fails_for_a_store_that_ignores_the_condition(
    s3_settings: Settings, overwriting_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", overwriting_endpoint)
    first, *_, race = problems(findings_of(s3_settings, "lake", "commits"))
    assert first.state is race.state is State.FAIL
    assert first.found == "an existing file was overwritten: `If-None-Match: *` is ignored"  # fmt: skip
    assert race.found.startswith("16 of 16 concurrent writers created the same file")
    assert objects_in(s3_settings) == []


def test_lake_check_fails_for_a_missing_bucket(s3_settings: Settings) -> None:
    nowhere = s3_settings.replace(lake="s3://not-created/by/tests")
    finding = only_problem(findings_of(nowhere, "lake"))
    assert finding.found.endswith("NoSuchBucket.")
    assert finding.todo.startswith("Create the bucket")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[BaseHTTPRequestHandler]]:
    """A store that only returns its date, `ahead` by seconds, with `status`."""

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
            """Log nothing."""

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
        (0.0, State.OK, "within 2 s of the object store's clock"),
        (10.0, State.WARN, " s behind the object store's clock"),
        (-10.0, State.WARN, " s ahead of the object store's clock"),
        (400.0, State.FAIL, " s behind the object store's clock"),
        (None, State.SKIP, "the object store sends no date"),
    ],
)
def test_clock_check_compares_with_the_object_store(
    clock: type[BaseHTTPRequestHandler],
    status: int,
    ahead: float | None,
    state: State,
    found: str,
) -> None:
    clock.ahead, clock.status = ahead, status  # type: ignore[attr-defined]
    settings = load({}, lake=f"s3://{BUCKET}", kafka="127.0.0.1:1")
    finding, of_broker = findings_of(settings, "clock")
    assert finding.state is state
    assert found in finding.found
    assert bool(finding.todo) == (state is not State.OK)
    assert of_broker.state is State.SKIP


def test_clock_check_compares_with_the_newest_record(
    settings: Settings, send: Send
) -> None:
    here, empty = findings_of(settings, "broker", "topic", "clock")
    assert here.found == "the lake is on this machine: no clock to compare"
    assert (empty.state, empty.found) == (
        State.SKIP,
        "broker clock: the topic is empty",
    )
    send(3)
    _, now = findings_of(settings, "broker", "topic", "clock")
    assert (now.state, "not in the future" in now.found) == (State.OK, True)
    send(1, int((datetime.now(UTC).timestamp() + 3_600) * 1000))
    finding = only_problem(findings_of(settings, "broker", "topic", "clock"))
    assert finding.state is State.WARN
    assert "in the future by its producer's clock" in finding.found
    stamped = {"message.timestamp.type": "LogAppendTime"}
    finding = only_problem(findings_of(settings, "broker", "topic", "clock", **stamped))
    assert "by the broker's clock" in finding.found
