"""What agents left in a spool."""

import json
from pathlib import Path
from typing import Any

from semloop.agent.spool.inspection import contents, unsent_of_all
from semloop.agent.spool.names import spool_name
from semloop.agent.spool.writer import Writer
from semloop.settings import Settings
from tests.support.builders import an_event, raw


def leave(settings: Settings, *texts: str, **fields: Any) -> None:
    """Leave messages with these texts, as a process does that ends without sending."""
    writer = a_writer(settings)
    for text in texts:
        emit(writer, text, **fields)
    writer.close()


def a_writer(settings: Settings) -> Writer:
    """Return a writer, as a running process has it."""
    return Writer(Path(settings.agent.spool), spool_name(settings), 2**28, 2**20)


def emit(writer: Writer, text: str, **fields: Any) -> None:
    """Store a message."""
    event = an_event(payload={"role": "user", "content": text}, **fields)
    key = str(event["meta"]["session_id"]).encode()
    assert writer.append(key, raw(event)) is None


def unsent(spool: Path) -> list[dict[str, Any]]:
    """Return the events in a spool; none may be damaged."""
    found = []
    for owner in unsent_of_all(spool):
        assert (owner.damaged, owner.unreadable) == (0, ()), owner
        for path in owner.left.paths:
            found += [content and content.event for content in contents(path)]
    return [json.loads(event) for event in found if event]


def unsent_texts(spool: Path) -> list[str]:
    """Return the texts of the messages in a spool."""
    events = unsent(spool)
    return [e["payload"]["content"] for e in events if e["type"] == "message"]
