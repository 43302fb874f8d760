"""Lines of session files, and a follower whose records go to a list."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from schemas.lines import Record
from sources.following.follower import Follower
from sources.following.mark import Mark
from sources.following.places import Place, place_of
from sources.transcripts.options import Options

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_line(text: str, session: str = "s", at: datetime = START, **fields: Any) -> bytes:
    """Build a line of Claude Code with one message of the user."""
    line = {
        "type": "user",
        "sessionId": session,
        "uuid": f"uuid of {text}",
        "timestamp": at.isoformat(),
        "message": {"role": "user", "content": text},
        **fields,
    }
    return msgspec.json.encode(line) + b"\n"


def text_of(record: Record) -> str:
    """Return the text of a record's message, or the line of a dead letter."""
    if not record.is_event:
        return record.value.decode()
    payload = msgspec.json.decode(record.value)["payload"]
    return str(payload.get("content", payload))


@dataclass
class Watched:
    """A folder, a clock, and what a follower has sent of it.

    Attributes:
        sent: the records in order, and whether each may have been sent before.
        full: nothing more can be sent now.
    """

    folder: Path
    sent: list[tuple[Record, bool]] = field(default_factory=list)
    full: bool = False
    now_s: float = 0.0
    marks: list[Mark] = field(default_factory=list)
    options: Options = field(default_factory=Options)
    places: list[Place] = field(default_factory=list)
    open_max: int = 1_000

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.places = [place_of(str(self.folder))]
        self.start()

    def start(self) -> None:
        """Start a follower from the last marks, as after a kill."""
        self.follower = Follower(
            self.places, self.options, self.marks, self._send,
            lambda: self.now_s, lambda: START + timedelta(days=1, seconds=self.now_s),
        )  # fmt: skip
        self.follower.open_max = self.open_max

    def _send(self, record: Record, again: bool) -> bool:
        if not self.full:
            self.sent.append((record, again))
        return not self.full

    def pass_s(self, seconds: float) -> None:
        """Let time pass, and the follower do all there is to do."""
        for _ in range(int(seconds / 0.25)):
            self.now_s += 0.25
            self.follower.look()
            while self.follower.work():
                pass
            self.follower.settle()

    def save(self) -> None:
        """Store the marks, as the command does."""
        self.marks = self.follower.marks()

    @property
    def ids(self) -> list[str]:
        """The ids of all records."""
        return [record.idempotency_key for record, _ in self.sent]

    @property
    def texts(self) -> list[str]:
        """The texts of all records, each once: what `archive` would store."""
        return [text_of(record) for record in stored(self.sent)]


def stored(sent: Iterable[tuple[Record, bool]]) -> list[Record]:
    """Return the first record of each id, as `archive` does."""
    found: dict[str, Record] = {}
    for record, _ in sent:
        found.setdefault(record.idempotency_key, record)
    return list(found.values())
