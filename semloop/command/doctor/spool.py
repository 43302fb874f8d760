"""Spool check: events that ended processes left, and files that no process sends."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from semloop.agent.spool.folder import bytes_in, file_name
from semloop.agent.spool.inspection import (
    State,
    Unsent,
    is_readable,
    other_files,
    unsent_of_all,
)
from semloop.agent.spool.names import spool_folder, spool_names
from semloop.agent.spool.space import FIRST_BYTES
from semloop.command.doctor import Finding, fail, ok, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.leftovers.spool import empty_files
from semloop.command.terminal.figures import format_bytes, format_count, format_list

CHECK = "spool"
# Share of its bound from which the folder counts as almost full.
NEAR_SHARE = 0.8


def check(context: CheckContext) -> Iterator[Finding]:
    """Count the events; files are not adopted, changed or sent."""
    settings = context.require_settings()
    folder = spool_folder(settings)
    if folder is None:
        yield ok(CHECK, "off: what a process has not sent when it ends is lost")
        return
    if not is_readable(folder):
        found = f"{folder} is not a folder that this user can read"
        todo = "Run `semloop doctor` as the user who runs the agents."
        yield warn(CHECK, found, todo)
        return
    owners = unsent_of_all(folder)
    here = {file_name(name) for name in spool_names(settings)}
    findings = [
        *_unsent(owners, here),
        *_not_sent(folder, owners),
        *empty_files(folder),
        *_size(folder, settings.agent.spool_mb * 2**20),
    ]
    yield from findings or [ok(CHECK, f"no unsent events in {folder}")]


def _unsent(owners: list[Unsent], here: set[str]) -> Iterator[Finding]:
    running = [e for e in owners if e.state is not State.ENDED and e.events]
    ended = [e for e in owners if e.state is State.ENDED and e.events]
    own = [each for each in ended if each.left.name in here]
    other = [each for each in ended if each.left.name not in here]
    if running:
        yield ok(CHECK, f"{_total(running)} that running processes send")
    if own:
        found = f"{_total(own)} of ended processes were not sent"
        todo = "Run: semloop spool send, or `semloop up`, whose stack sends them"
        yield warn(CHECK, found, todo)
    if other:
        names = format_list(sorted({each.left.name for each in other}))
        found = f"{_total(other)} of ended processes were not sent to {names}"
        todo = "Run `semloop spool send` with the settings of that broker and topic, or"
        todo += " `semloop spool send --from NAME` to send them to those of here."
        yield warn(CHECK, found, todo)


def _not_sent(folder: Path, owners: Iterable[Unsent]) -> Iterator[Finding]:
    """Yield a finding for each kind of file that no process sends."""
    others = other_files(folder)
    unreadable = {path for each in owners for path in each.unreadable}
    damaged = [*others.damaged, *unreadable.difference(others.refused)]
    if damaged:
        found = f"{format_count(len(damaged), 'file')} with events that are damaged"
        todo = f"They cannot be sent. Remove: {_listed(damaged)}"
        yield warn(CHECK, found, todo)
    if others.refused:
        found = f"{format_count(len(others.refused), 'file')} refused: links, files of"
        found += " other users, or files that others may write"
        yield warn(CHECK, found, f"Check and remove: {_listed(others.refused)}")
    if others.earlier:
        count = format_count(len(others.earlier), "file")
        todo = f"Import each, then remove it: semloop import {folder}/FILE --format "
        yield warn(CHECK, f"{count} of an earlier version", f"{todo}events")


def _size(folder: Path, bytes_max: int) -> Iterator[Finding]:
    used = bytes_in(folder)
    found = f"{format_bytes(used)} of {format_bytes(bytes_max)} used in {folder}"
    todo = "Run `semloop spool send`, or raise SEMLOOP_SPOOL_MB for all agents."
    if bytes_max - used < FIRST_BYTES:
        yield fail(CHECK, f"{found}: it is full, and new events are dropped", todo)
    elif used >= NEAR_SHARE * bytes_max:
        yield warn(CHECK, f"{found}: beyond that, new events are dropped", todo)


def _total(owners: Iterable[Unsent]) -> str:
    listed = list(owners)
    events = format_count(sum(each.events for each in listed), "event")
    size = format_bytes(sum(each.bytes for each in listed))
    return f"{events} ({size}, {format_count(len(listed), 'process')})"


def _listed(paths: Iterable[Path]) -> str:
    return format_list([str(path) for path in sorted(paths)])
