"""Two stacks on one prefix see each other, and replace each other as before."""

import socket

import pytest

from semloop.settings import Settings
from semloop.storage.location import Storage
from semloop.storage.writers import LAKE_FILE, WriterRecord, bind_stored
from tests.support.processes import run


def on_host(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)


def test_a_flow_that_may_run_on_another_host_is_found(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.of(s3_settings)
    on_host(monkeypatch, "first")
    assert WriterRecord(storage, "archive").start() is None
    assert WriterRecord(storage, "archive").start() is None  # restarted there
    on_host(monkeypatch, "second")
    assert WriterRecord(storage, "memory").start() is None
    assert WriterRecord(storage, "archive", process=1).start() is None
    second = WriterRecord(storage, "archive")
    found = second.start()
    assert found is not None
    assert found.host == "first"
    on_host(monkeypatch, "third")
    third = WriterRecord(storage, "archive")
    assert third.start() is not None
    second.end()  # it was replaced, so it changes nothing
    on_host(monkeypatch, "fourth")
    assert WriterRecord(storage, "archive").start() is not None


def test_a_flow_that_has_ended_is_not_found(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.of(s3_settings)
    on_host(monkeypatch, "first")
    first = WriterRecord(storage, "archive")
    first.start()
    first.end()
    on_host(monkeypatch, "second")
    assert WriterRecord(storage, "archive").start() is None


def test_a_copy_of_a_prefix_gets_an_id_of_its_own(s3_settings: Settings) -> None:
    original = Storage.of(s3_settings)
    lake = bind_stored(original)
    assert bind_stored(original) == lake
    copy = Storage.of(s3_settings.replace(lake=f"{s3_settings.lake}-copy"))
    content = original.read(LAKE_FILE)
    assert content is not None
    copy.create(LAKE_FILE, content)
    own = bind_stored(copy)
    assert own.id != lake.id
    assert bind_stored(copy) == own
    copy.objects.put(LAKE_FILE, b"{")
    assert bind_stored(copy).root == own.root


@pytest.mark.usefixtures("topic_on_s3")
def test_a_second_stack_says_what_to_do_and_takes_over(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_host(monkeypatch, "first-host")
    WriterRecord(Storage.of(s3_settings), "archive").start()
    command = ("run", "archive", "--until-caught-up")
    second = run(s3_settings, *command)
    assert second.returncode == 0
    (line,) = [text for text in second.stderr.splitlines() if "first-host" in text]
    assert "taking archive over from first-host" in line
    assert "another SEMLOOP_LAKE" in line
    again = run(s3_settings, *command)
    assert again.returncode == 0
    assert "over from" not in again.stderr


def test_a_lake_in_a_folder_has_no_record(storage: Storage) -> None:
    record = WriterRecord(storage, "archive")
    assert record.start() is None
    record.end()
    assert storage.read(LAKE_FILE) is None
