"""`semloop import`: a file or stdin into the topic."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.errors import ConfigError
from semloop.kafka.clients import producer_config
from semloop.settings import load

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from schemas.lines import Record, TooLong

GZIP_MAGIC = b"\x1f\x8b"
# A person can act on so many line numbers; a script counts on the exit code.
LINES_LISTED_MAX = 20


class FileFormat(StrEnum):
    """What the lines of a file are."""

    EVENTS = "events"
    CHAT = "chat"


@dataclass
class Read:
    """What was read so far."""

    lines: int = 0
    size: int = 0
    no_events: int = 0


def import_(
    path: Annotated[str, typer.Argument(help="JSON lines, gzipped or not; - = stdin.")],
    form: Annotated[FileFormat, typer.Option("--format", help="What the lines are.")],
) -> None:
    """Bring a file into the topic; importing it again changes nothing."""
    from semloop.kafka.topic import TopicAdmin
    from sinks.topic import produce
    from sources.transcripts.lines import read_records

    settings = load()
    if path == "-" and sys.stdin.isatty():
        print("Reading from the terminal; Ctrl-D ends.", file=sys.stderr)
    records = read_records(path, form.value)
    # A wrong path is told before anything is made.
    first = next(records, None)
    TopicAdmin(settings).ensure()
    read = Read()
    with _progress(_size(path, form), read) as shown:
        sent = produce(
            shown.told(chain([first] if first else [], records)),
            producer_config(settings),
            settings.topic,
            shown.show,
        )
    what = f"Lines read: {read.lines:,}, records produced: {sent.records:,}"
    if read.no_events:
        what += f", lines that become dead letters: {read.no_events:,}"
    print(f"{what}.")
    if read.no_events and read.no_events == sent.records:
        todo = "None is an event: is --format right? `semloop dlq ls` says why."
        print(todo, file=sys.stderr)
    if sent.too_long:
        lines = [str(line.line) for line in sent.too_long]
        more = len(lines) - LINES_LISTED_MAX
        listed = ", ".join(lines[:LINES_LISTED_MAX]) + (f" and {more}" * (more > 0))
        msg = f"Too long for a message (over 4 MiB), so not produced: lines {listed}."
        raise ConfigError(msg, "Shorten and import them; everything else is done.")


def _size(path: str, form: FileFormat) -> int | None:
    """Bytes to come, where a record is a line: not of chats, nor of gzip."""
    file = Path(path)
    if path == "-" or form is not FileFormat.EVENTS or not file.is_file():
        return None
    with file.open("rb") as start:
        if start.read(2) == GZIP_MAGIC:
            return None
    return file.stat().st_size


class Shown:
    """Counts records on their way to the producer, and shows it on a terminal."""

    def __init__(
        self, read: Read, bar: "Progress | None", task: "TaskID | None"
    ) -> None:
        self._read = read
        self._bar = bar
        self._task = task

    def told(
        self, records: "Iterable[Record | TooLong]"
    ) -> "Iterator[Record | TooLong]":
        """The same records, counted."""
        from schemas.lines import TooLong

        read = self._read
        for record in records:
            read.lines = max(read.lines, record.line)
            if isinstance(record, TooLong):
                read.size += record.size
            else:
                read.size += len(record.value) + 1
                read.no_events += not record.is_event
            yield record

    def show(self, produced: int) -> None:
        """Show how far it is."""
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                completed=self._read.size,
                description=f"{self._read.lines:,} lines, {produced:,} records",
            )


@contextmanager
def _progress(size: int | None, read: Read) -> "Iterator[Shown]":
    if not sys.stderr.isatty():
        yield Shown(read, None, None)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        yield Shown(read, bar, bar.add_task("", total=size))
