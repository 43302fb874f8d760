"""`semloop import`: produce the records of files or stdin to the topic."""

import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.command.cli.import_options import check_format, columns_of, options_of
from semloop.command.cli.import_report import ledger_lines, say_dry_run, skipped_lines
from semloop.command.cli.import_reruns import LINES_MAX, how_to_drop
from semloop.command.cli.since_option import SINCE_HELP
from semloop.command.terminal.printing import console_of, note, say
from semloop.errors import ConfigError
from semloop.event import IMPORT_HEADER
from semloop.kafka.clients import producer_config
from semloop.settings import Settings, load

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from schemas.lines import Record, TooLong
    from sources.transcripts.ledger import Ledger
    from sources.transcripts.options import Options
    from sources.transcripts.reader import Reading

# Enough line numbers for a person; a script uses the exit code.
LINES_LISTED_MAX = 20
# Events that `--dry-run` shows.
SHOWN = 3


@dataclass
class ReadCounts:
    """Counts of what was read; `invalid` records will become dead letters.

    `broken`: the ids of the first of these. `done`: bytes of the files before this one.
    """

    lines: int = 0
    done: int = 0
    invalid: int = 0
    broken: list[str] = field(default_factory=list)


def import_(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Files, folders, patterns; unpacks gzip and zstd. - for stdin.",
        ),
    ],
    form: Annotated[
        str,
        typer.Option("--format", help="Format of the files; `auto` recognizes it."),
    ] = "auto",
    agent: Annotated[
        str, typer.Option(help="Agent of transcripts that name none.")
    ] = "",
    namespace: Annotated[
        str, typer.Option(help="Namespace of transcripts that name none.")
    ] = "",
    user: Annotated[str, typer.Option(help="User of transcripts that name none.")] = "",
    since: Annotated[str, typer.Option(help=SINCE_HELP)] = "",
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Column of rows (CSV, YAML, TinyDB, JSON) for a field of events.",
        ),
    ] = None,
    store: Annotated[
        str, typer.Option(help="Name of the store that rows are of; that of its file.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be made; send nothing.")
    ] = False,
) -> None:
    """Import transcripts and events; importing them again changes nothing."""
    from sources.transcripts.input_files import paths_of, skipped_of
    from sources.transcripts.ledger import Ledger

    check_format(form)
    settings = load()
    for line in skipped_lines(skipped_of(paths)):
        note(line)
    if "-" in paths and sys.stdin.isatty():
        note("Reading from the terminal; press Ctrl-D to finish.")
    options = options_of(settings, agent, namespace, user, since)
    options = replace(options, columns=columns_of(columns or [], form), store=store)
    ledger, files = Ledger(), paths_of(paths)
    several = Several(files, form, options, ledger)
    if dry_run:
        from schemas.lines import Record

        records = several.records()
        events = (r for r in records if isinstance(r, Record) and r.is_event)
        first = list(islice(events, SHOWN))
        for _ in records:
            pass
        say_dry_run(ledger, first)
    else:
        _produce(settings, several, files)
    several.check()


class Several:
    """Files that are read one after the other; a refused one stops no other."""

    def __init__(
        self, files: list[str], form: str, options: "Options", ledger: "Ledger"
    ) -> None:
        self.files, self.form, self.options = files, form, options
        self.ledger = ledger
        self.counts = ReadCounts()
        self.reading: Reading | None = None
        self.lines = 0
        self._refused: list[ConfigError] = []
        self._empty: list[str] = []

    def records(self) -> "Iterator[Record | TooLong]":
        """Yield the records of all files.

        Raises:
            ConfigError: the only file cannot be read, or has no known format.
        """
        from semloop.rows.tables import store_name
        from sources.transcripts.input_files import named, size_of, time_of_file
        from sources.transcripts.reader import Reading

        for path in self.files:
            before = self.ledger.events
            options = replace(
                self.options,
                file_time=time_of_file(path),
                store=self.options.store or store_name(path),
                where=named(path),
            )
            self.reading = Reading(path, self.form, options, self.ledger)
            try:
                yield from self.reading.records()
            except ConfigError as error:
                if len(self.files) == 1:
                    raise
                note(f"{error.what} {error.todo}")
                self._refused.append(error)
            self.lines += self.reading.values
            if self.ledger.events == before and len(self.files) > 1:
                self._empty.append(path)
            if self.reading.why:
                say(f"{path}: {self.reading.title} ({self.reading.why}).")
            self.counts.done += size_of(path) or 0
            self.reading = None

    def position(self) -> int:
        """Return how many bytes of all files were read."""
        return self.counts.done + (self.reading.position() if self.reading else 0)

    def check(self) -> None:
        """Raise unless each file gave something.

        Raises:
            ConfigError: files were refused, or there was nothing to import.
        """
        for line in skipped_lines(
            self._empty, "without anything that becomes an event"
        ):
            note(line)
        if self._refused:
            count = len(self._refused)
            msg = f"{count:,} of {len(self.files):,} files were not imported."
            raise ConfigError(msg, "See the lines above; all others were imported.")
        if not self.ledger.events:
            what = "files hold" if len(self.files) > 1 else "file holds"
            msg = f"The {what} nothing that becomes an event."
            todo = "See the counts above; `semloop import --help` lists the formats."
            raise ConfigError(msg, todo)


def _produce(settings: Settings, several: Several, files: list[str]) -> None:
    from semloop.command.cli.import_verdict import verdict_lines
    from semloop.kafka.topic import TopicAdmin
    from sinks.topic import produce

    records = several.records()
    # Before the topic is created, so that a wrong path changes nothing.
    first = next(records, None)
    counts = several.counts
    if first is None:
        for line in ledger_lines(several.ledger):
            say(line)
        return
    TopicAdmin(settings).ensure()
    import_id = str(uuid.uuid4())
    with _progress(files, several) as progress:
        counted = progress.counted(chain([first], records))
        sent = produce(
            _marked(counted, import_id),
            producer_config(settings),
            settings.topic,
            progress.show,
        )
    for line in ledger_lines(several.ledger):
        say(line)
    summary = f"Lines read: {several.lines:,}, records produced: {sent.records:,}"
    if counts.invalid:
        summary += f", lines that become dead letters: {counts.invalid:,}"
    say(f"{summary}.")
    for line in verdict_lines(settings, sent, import_id):
        say(line)
    if counts.invalid:
        for line in how_to_drop(settings, import_id, counts.broken):
            say(line)
    if sent.too_long:
        lines = [str(line.line) for line in sent.too_long]
        more = len(lines) - LINES_LISTED_MAX
        listed = ", ".join(lines[:LINES_LISTED_MAX]) + (f" and {more}" * (more > 0))
        msg = f"Values over 4 MiB are too long for a message, not produced: {listed}."
        raise ConfigError(msg, "Shorten and import them; all others were produced.")


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


class ImportProgress:
    """Counts the records passed to the producer and shows a bar on a terminal."""

    def __init__(
        self, several: Several, bar: "Progress | None", task: "TaskID | None"
    ) -> None:
        self._several = several
        self._bar = bar
        self._task = task

    def counted(
        self, records: "Iterable[Record | TooLong]"
    ) -> "Iterator[Record | TooLong]":
        """Yield the same records and count them."""
        from schemas.lines import TooLong

        counts = self._several.counts
        for record in records:
            if not isinstance(record, TooLong) and not record.is_event:
                counts.invalid += 1
                if len(counts.broken) < LINES_MAX:
                    counts.broken.append(record.idempotency_key)
            yield record

    def show(self, produced: int) -> None:
        """Update the bar: by the bytes of the files, packed as they are."""
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                completed=self._several.position(),
                description=f"{produced:,} records",
            )


@contextmanager
def _progress(files: list[str], several: Several) -> "Iterator[ImportProgress]":
    if not sys.stderr.isatty():
        yield ImportProgress(several, None, None)
        return
    from rich.progress import Progress

    from sources.transcripts.input_files import size_of

    sizes = [size_of(path) for path in files]
    known = [size for size in sizes if size is not None]
    total = sum(known) if len(known) == len(sizes) else None
    with Progress(console=console_of(sys.stderr), transient=True) as bar:
        yield ImportProgress(several, bar, bar.add_task("", total=total))
