"""`semloop import`: produce the records of a file or stdin to the topic."""

import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.command.cli.import_reruns import LINES_MAX, how_to_drop
from semloop.command.terminal.printing import console_of, note, say
from semloop.errors import ConfigError
from semloop.event import IMPORT_HEADER
from semloop.kafka.clients import producer_config
from semloop.settings import load

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from schemas.lines import Record, TooLong

GZIP_MAGIC = b"\x1f\x8b"
# Enough line numbers for a person; a script uses the exit code.
LINES_LISTED_MAX = 20


class FileFormat(StrEnum):
    """Content of the lines of a file."""

    EVENTS = "events"
    CHAT = "chat"


@dataclass
class ReadCounts:
    """Counts of what was read; `invalid` records will become dead letters.

    `broken`: the ids of the first of these.
    """

    lines: int = 0
    bytes_: int = 0
    invalid: int = 0
    broken: list[str] = field(default_factory=list)


def import_(
    path: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="JSON Lines file, optionally gzipped; - for stdin."
        ),
    ],
    form: Annotated[FileFormat, typer.Option("--format", help="Content of the lines.")],
) -> None:
    """Import events or chats from a file; importing it again changes nothing."""
    from semloop.kafka.topic import TopicAdmin
    from sinks.topic import produce
    from sources.transcripts.lines import read_records

    settings = load()
    if path == "-" and sys.stdin.isatty():
        note("Reading from the terminal; press Ctrl-D to finish.")
    records = read_records(path, form.value)
    # Before the topic is created, so that a wrong path changes nothing.
    first = next(records, None)
    TopicAdmin(settings).ensure()
    counts = ReadCounts()
    import_id = str(uuid.uuid4())
    with _progress(_size(path, form), counts) as progress:
        counted = progress.counted(chain([first] if first else [], records))
        sent = produce(
            _marked(counted, import_id),
            producer_config(settings),
            settings.topic,
            progress.show,
        )
    summary = f"Lines read: {counts.lines:,}, records produced: {sent.records:,}"
    if counts.invalid:
        summary += f", lines that become dead letters: {counts.invalid:,}"
    say(f"{summary}.")
    if counts.invalid:
        for line in how_to_drop(settings, import_id, counts.broken):
            say(line)
    if sent.too_long:
        lines = [str(line.line) for line in sent.too_long]
        more = len(lines) - LINES_LISTED_MAX
        listed = ", ".join(lines[:LINES_LISTED_MAX]) + (f" and {more}" * (more > 0))
        msg = f"Lines over 4 MiB are too long for a message, not produced: {listed}."
        raise ConfigError(msg, "Shorten and import them; all others were produced.")
    if counts.invalid and counts.invalid == sent.records:
        msg = f"No line of {path} is an event: all of them become dead letters."
        todo = "Check --format; `semloop dlq ls` lists the reasons."
        raise ConfigError(msg, todo)


def _marked(
    records: "Iterable[Record | TooLong]", import_id: str
) -> "Iterator[Record | TooLong]":
    """Yield the records with the header of the import."""
    from schemas.lines import Record

    headers = ((IMPORT_HEADER, import_id.encode()),)
    for record in records:
        if isinstance(record, Record):
            yield replace(record, headers=headers)
        else:
            yield record


def _size(path: str, form: FileFormat) -> int | None:
    """Return the file size; None if records are not lines (chats) or it is gzipped."""
    file = Path(path)
    if path == "-" or form is not FileFormat.EVENTS or not file.is_file():
        return None
    with file.open("rb") as start:
        if start.read(2) == GZIP_MAGIC:
            return None
    return file.stat().st_size


class ImportProgress:
    """Counts the records passed to the producer and shows a bar on a terminal."""

    def __init__(
        self, counts: ReadCounts, bar: "Progress | None", task: "TaskID | None"
    ) -> None:
        self._counts = counts
        self._bar = bar
        self._task = task

    def counted(
        self, records: "Iterable[Record | TooLong]"
    ) -> "Iterator[Record | TooLong]":
        """Yield the same records and count them."""
        from schemas.lines import TooLong

        counts = self._counts
        for record in records:
            counts.lines = max(counts.lines, record.line)
            if isinstance(record, TooLong):
                counts.bytes_ += record.size
            else:
                counts.bytes_ += len(record.value) + 1
                if not record.is_event:
                    counts.invalid += 1
                    if len(counts.broken) < LINES_MAX:
                        counts.broken.append(record.idempotency_key)
            yield record

    def show(self, produced: int) -> None:
        """Update the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                completed=self._counts.bytes_,
                description=f"{self._counts.lines:,} lines, {produced:,} records",
            )


@contextmanager
def _progress(size: int | None, counts: ReadCounts) -> "Iterator[ImportProgress]":
    if not sys.stderr.isatty():
        yield ImportProgress(counts, None, None)
        return
    from rich.progress import Progress

    with Progress(console=console_of(sys.stderr), transient=True) as bar:
        yield ImportProgress(counts, bar, bar.add_task("", total=size))
