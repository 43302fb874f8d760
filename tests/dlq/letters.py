"""Produces records that are no events, and reads what became of them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from semloop.kafka.topic import TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.cli.helpers import Semloop, Writer
from tests.support.builders import raw
from tests.support.in_process import run_flow
from tests.support.prompt_producer import prompt_producer

# Repairs what `broken` makes.
REPAIR = """
def transform(record):
    record["type"] = record["type"].removesuffix("_v0")
    return record
"""


class Letters:
    """A topic and its lake."""

    def __init__(
        self, settings: Settings, semloop: Semloop, writer: Writer | None = None
    ) -> None:
        self.settings = settings
        self.semloop = semloop
        self.writer = writer

    def produce(self, *values: object, **headers: str) -> None:
        """Send records, and let `archive` read them."""
        if self.writer is not None:
            self.writer.write(*values)
            return
        TopicAdmin(self.settings).ensure()
        producer = prompt_producer(self.settings)
        for value in values:
            producer.produce(
                self.settings.topic,
                key="s-1",
                value=raw(value),
                headers={name: text.encode() for name, text in headers.items()},
            )
        assert producer.flush(30) == 0
        self.archive()

    def archive(self, **changed: Any) -> None:
        """Run `archive` until it has caught up."""
        run_flow(self.settings.replace(**changed))

    def states(self) -> Counter[str]:
        """Return the number of dead letters by state."""
        rows = self.rows("SELECT state, count(*) FROM dead_letters GROUP BY 1")
        return Counter(dict(rows))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with Lake(self.settings.lake) as lake:
            return lake.sql(query).fetchall()

    def listed(self, *options: str) -> list[dict[str, Any]]:
        """Return what `dlq ls --each` lists."""
        found = self.semloop("dlq", "ls", "--each", *options, "--format", "json")
        rows: list[dict[str, Any]] = json.loads(found)
        return rows

    def transform(self, folder: Path, text: str = REPAIR) -> list[str]:
        """Write the file of a transform; return the option that names it."""
        path = folder / "repair.py"
        path.write_text(text)
        return ["--transform", str(path)]


def broken(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event of a type that there is not."""
    return {**event, "type": f"{event['type']}_v0"}
