"""The lake is asked for earlier versions; if it does not answer, the import ends."""

import msgspec
import pytest

from semloop.command.cli import lake_queries
from semloop.command.cli.import_versions import StoredVersions
from semloop.errors import StorageUnavailable
from semloop.settings import load
from sources.transcripts.format import Value
from sources.transcripts.ledger import Ledger
from sources.transcripts.openai_chat import FORMAT
from sources.transcripts.options import Options
from sources.transcripts.versions import Versions
from tests.cli.helpers import Writer
from tests.sources.chats import a_chat, assistant_calls, chat_events, message_of, result

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
    assert list(found) == [KEY]
    assert list(found[KEY]["chat-1"]) == [event.id for event in events]
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


def test_tokens_that_move_to_a_new_answer_are_no_edit() -> None:
    start = [message_of("user", "mail ann@example.com"), message_of("assistant", "ok")]
    calls = [assistant_calls("a", arguments='{"b": [1, 2]}'), result("a")]
    line = a_chat(*start, *calls, message_of("assistant"), usage={"prompt_tokens": 9})
    _, events = chat_events(line)
    Writer().write(*[event.value for event in events])
    lake = StoredVersions(load())
    options = Options(versions=Versions(lake.ids_of, lake.as_stored))
    more = [message_of("user", "more"), message_of("assistant", "done")]

    def imported(*messages: object, model: str) -> list[tuple[str, str]]:
        line = a_chat(*messages, usage={"prompt_tokens": 12}, model=model)
        value = Value(1, line, msgspec.json.decode(line))
        made = FORMAT.read([value], options, Ledger())
        return [(session, event.id) for _, session, event in made]

    before = [("chat-1", event.id) for event in events]
    found = imported(*start, *calls, message_of("assistant"), *more, model="m-2")
    assert found[: len(before)] == before
    assert len(found) == len(before) + 2
    edited = imported(start[0], message_of("assistant", "no"), *more, model="m-2")
    assert edited[0][0].startswith("chat-1~")
