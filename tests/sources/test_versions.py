"""An edited transcript becomes a session of its own; one that grew does not."""

from pathlib import Path

import msgspec

from schemas.lines import Record
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading
from sources.transcripts.versions import Events, Key, Versions
from tests.sources.chats import a_chat, assistant_calls, message_of, result
from tests.sources.line_files import a_file

ONE, TWO = message_of("user", "one"), message_of("assistant", "two")
THREE = message_of("user", "three")


class Lake:
    """Remembers the events of earlier imports, as the archive does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sessions: dict[str, set[str]] = {}

    def imported(self, *chats: bytes) -> set[str]:
        """Import chats; return the sessions of their new events."""
        path = a_file(self.folder, b"\n".join(chats))
        options = Options(versions=Versions(self.ids_of))
        found = list(Reading(path, "chat", options, Ledger()).records())
        new = set()
        for record in found:
            assert isinstance(record, Record)
            assert record.key is not None
            session = record.key.decode()
            ids = self.sessions.setdefault(session, set())
            event = msgspec.json.decode(record.value)
            if record.idempotency_key not in ids:
                new.add(session)
            if event["payload"].get("error_type") != "no_result":
                ids.add(record.idempotency_key)
        return new

    def ids_of(self, keys: object) -> dict[Key, dict[str, Events]]:
        found = {
            name: dict.fromkeys(ids, "")
            for name, ids in self.sessions.items()
            if name.startswith("chat-1")
        }
        return {("default", "helpdesk", "chat-1"): found}


def test_growth_and_older_copies_stay_one_session(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.imported(a_chat(ONE, TWO)) == {"chat-1"}
    assert lake.imported(a_chat(ONE, TWO)) == set()
    assert lake.imported(a_chat(ONE, TWO, THREE)) == {"chat-1"}
    assert lake.imported(a_chat(ONE)) == set()
    assert lake.imported(a_chat(ONE, TWO)) == set()


def test_an_edited_chat_is_a_session_of_its_own_that_can_grow(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.imported(a_chat(ONE, TWO))
    edited = (message_of("system", "Be kind."), ONE, message_of("assistant", "2"))
    (name,) = lake.imported(a_chat(*edited))
    assert name.startswith("chat-1~")
    assert lake.imported(a_chat(*edited)) == set()
    assert lake.imported(a_chat(*edited, THREE)) == {name}
    assert lake.imported(a_chat(ONE, TWO, THREE)) == {"chat-1"}
    assert len(lake.sessions) == 2


def test_two_versions_in_one_file_are_two_sessions(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    found = lake.imported(a_chat(ONE, TWO), a_chat(TWO, ONE), a_chat(ONE, TWO, THREE))
    assert len(found) == 2


def test_a_call_that_got_its_result_is_no_edit(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.imported(a_chat(ONE, assistant_calls("a")))
    assert lake.imported(a_chat(ONE, assistant_calls("a"), result("a"))) == {"chat-1"}


def test_two_versions_in_two_files_of_one_import_are_two_sessions(
    tmp_path: Path,
) -> None:
    options = Options(versions=Versions(lambda _: {}))
    found = set()
    for chat in (a_chat(ONE, TWO), a_chat(TWO, ONE)):
        path = a_file(tmp_path, chat)
        records = list(Reading(path, "chat", options, Ledger()).records())
        found |= {r.key for r in records if isinstance(r, Record)}
    assert len(found) == 2


def test_agents_and_namespaces_may_use_the_same_session_ids(tmp_path: Path) -> None:
    chats = (
        a_chat(ONE),
        a_chat(TWO, agent="other"),
        a_chat(THREE, namespace="eu"),
    )
    assert Lake(tmp_path).imported(*chats) == {"chat-1"}
