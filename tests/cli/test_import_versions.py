"""The lake is asked for earlier versions; if it does not answer, the import ends."""

import pytest

from semloop.command.cli import lake_queries
from semloop.command.cli.import_versions import StoredVersions
from semloop.errors import StorageUnavailable
from semloop.settings import load
from tests.cli.helpers import Writer
from tests.sources.chats import a_chat, chat_events, message_of

KEY = "default", "helpdesk", "chat-1"


def test_without_a_lake_there_are_no_versions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert StoredVersions(load()).ids_of([KEY]) == {}
    assert capsys.readouterr().err == ""


def test_versions_of_other_agents_are_not_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, events = chat_events(a_chat(message_of("user")))
    Writer().write(*[event.value for event in events])
    other = "default", "other", "chat-1"
    found = StoredVersions(load()).ids_of([KEY, other])
    assert found == {KEY: {"chat-1": {event.id for event in events}}}
    assert "`archive` does not run here" in capsys.readouterr().err


def test_a_store_that_does_not_answer_ends_the_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Writer()

    def unavailable(*_: object, **__: object) -> None:
        msg = "The store does not answer."
        raise StorageUnavailable(msg, "Try again.")

    monkeypatch.setattr(lake_queries, "Lake", unavailable)
    with pytest.raises(StorageUnavailable):
        StoredVersions(load()).ids_of([KEY])
