"""`semloop spool`: events that were emitted, but that no broker has yet."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from semloop.agent.spool.folder import file_name
from semloop.agent.spool.inspection import (
    Others,
    State,
    Unsent,
    contents,
    is_readable,
    other_files,
    unsent_of_all,
)
from semloop.agent.spool.names import spool_folder, spool_names
from semloop.command.cli.spool_sending import Leftovers, send_leftovers, target_of
from semloop.command.terminal.durations import format_age
from semloop.command.terminal.figures import format_bytes, format_count, format_list
from semloop.command.terminal.output import Format, Row, print_rows
from semloop.command.terminal.printing import note, print_for_programs, say
from semloop.errors import ConfigError
from semloop.escaping import visible_json
from semloop.settings import Settings, load

COLUMNS = (
    "state", "name", "file", "pid", "events", "bytes", "oldest", "newest", "damaged",
    "sent_here",
)  # fmt: skip
# Columns of the table for people.
SHOWN = ("state", "name", "pid", "events", "bytes", "oldest", "newest", "damaged")

app = typer.Typer(add_completion=False, no_args_is_help=False)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Names that the list shows; all if not given."),
]


@app.callback(invoke_without_command=True)
def spool(
    ctx: typer.Context,
    form: Annotated[
        Format, typer.Option("--format", help="Output format.")
    ] = Format.TABLE,
) -> None:
    """List events that agents emitted and no broker has yet; send or print them.

    Payloads are not shown. A name denotes a broker and a topic.
    """
    if ctx.invoked_subcommand is None:
        _list(load(), form)


@app.command("send")
def send(
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Send what was left for this broker and topic instead; repeatable.",
        ),
    ] = None,
) -> None:
    """Send what ended processes left, to the broker and topic of the settings.

    Exits with 0 once nothing is left, with 1 if the broker is unavailable or
    refuses events. Running processes send their own events.
    """
    settings = load()
    folder = _folder(settings)
    wanted = spool_names(settings)
    if names:
        wanted = tuple(each.left.name for each in _named(folder, names))
    found = send_leftovers(settings, Leftovers(folder, wanted))
    if found.sent:
        say(f"Sent {format_count(found.sent, 'event')} to {found.target}.")
    elif not (found.left or found.refused):
        say(f"Nothing is left to send to {found.target}.")
    found.check()
    here = {file_name(name) for name in wanted}
    for line in [] if names else _to_send(settings, unsent_of_all(folder), here):
        note(line)


@app.command("cat")
def cat(names: Names = None) -> None:
    """Print unsent events of ended processes as JSON lines; they stay in the spool.

    `semloop import FILE --format events` reads such lines; it stores no event
    twice.
    """
    folder = _folder(load())
    print_for_programs()
    unreadable = 0
    for each in _named(folder, names) if names else unsent_of_all(folder):
        if each.state is State.ENDED:
            unreadable += each.damaged + len(each.unreadable)
            for line in _lines(each.left.paths):
                say(line)
    sys.stdout.flush()
    if unreadable:
        note(f"Left out, since damaged: {format_count(unreadable, 'record')} or more.")


def _list(settings: Settings, form: Format) -> None:
    folder = _folder(settings)
    owners, others = unsent_of_all(folder), other_files(folder)
    here = {file_name(name) for name in spool_names(settings)}
    rows = [_row(each, others, sent_here=each.left.name in here) for each in owners]
    for state, paths in others._asdict().items():
        rows += [_row_of_file(state, path) for path in paths]
    if form is not Format.TABLE:
        print_rows(COLUMNS, rows, form)
        return
    if not rows:
        say(f"Nothing is in the spool {folder}.")
        return
    now = datetime.now(UTC)
    print_rows(SHOWN, (_shown(row, now) for row in rows), form)
    for line in (*_to_send(settings, owners, here), *_not_sent(folder, others)):
        say(line)


def _to_send(
    settings: Settings, owners: Sequence[Unsent], here: set[str]
) -> Iterator[str]:
    """Yield what to run, if processes that have ended left something."""
    ended = [each for each in owners if each.state is State.ENDED and each.events]
    if own := sum(each.events for each in ended if each.left.name in here):
        events = format_count(own, "event")
        yield f"Run `semloop spool send` to send {events} to {target_of(settings)}."
    if other := sorted({e.left.name for e in ended if e.left.name not in here}):
        yield (
            f"For another broker or topic: {format_list(other)}. To send them to that"
            " of your settings instead: `semloop spool send --from NAME`."
        )


def _not_sent(folder: Path, others: Others) -> Iterator[str]:
    if others.earlier:
        yield (
            "Files of an earlier version are not sent: import each by `semloop import"
            f" {folder}/FILE --format events`, then remove it."
        )
    if others.damaged:
        yield "Damaged files have records that cannot be sent: remove them."
    if others.refused:
        yield "Refused files are links, or files that others may write: remove them."


def _row(each: Unsent, others: Others, *, sent_here: bool) -> Row:
    unreadable = len(set(each.unreadable).difference(others.refused))
    return (
        each.state.value, each.left.name, each.left.stem, each.pid, each.events,
        each.bytes, each.oldest, each.newest, each.damaged + unreadable, sent_here,
    )  # fmt: skip


def _shown(row: Row, now: datetime) -> Row:
    """Return the columns for people."""
    values: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    values["bytes"] = format_bytes(values["bytes"])
    for name in ("oldest", "newest"):
        then = values[name]
        values[name] = None if then is None else format_age(then, now)
    return [values[name] for name in SHOWN]


def _row_of_file(state: str, path: Path) -> Row:
    try:
        size = path.lstat().st_size
    except OSError:
        size = 0
    return (state, path.name, path.name, None, None, size, None, None, None, False)


def _named(folder: Path, names: Sequence[str]) -> list[Unsent]:
    """Return the owners with these names.

    Raises:
        ConfigError: there is no such owner.
    """
    owners = unsent_of_all(folder)
    known = sorted({each.left.name for each in owners})
    for name in names:
        if name not in known:
            msg = f"Nothing in the spool {folder} has the name {name!r}."
            listed = f"There is: {format_list(known)}." if known else "It is empty."
            raise ConfigError(msg, listed)
    return [each for each in owners if each.left.name in names]


def _lines(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        try:
            for content in contents(path):
                if content is not None:
                    yield visible_json(content.event.decode(errors="replace"))
        except (OSError, ValueError):
            continue  # sent and removed meanwhile, or counted as unreadable


def _folder(settings: Settings) -> Path:
    folder = spool_folder(settings)
    if folder is None:
        msg = "The spool is off: SEMLOOP_SPOOL=off."
        todo = "Set SEMLOOP_SPOOL to a folder to see what is in it."
        raise ConfigError(msg, todo)
    if not is_readable(folder):
        msg = f"The spool {folder} is not a folder that this user can read."
        raise ConfigError(msg, "Run the command as the user who runs the agents.")
    return folder
