"""Generations check: tables of memories that are not the current one.

`reindex` or `rebuild` fills the next generation. Killed, it continues there, so one
that has memories is never removed: only the user knows whether they are still wanted.
"""

import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from semloop.command.doctor import Finding, Skipped, left, ok, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.leftovers import SAFE_HOURS, SAFE_S
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_bytes, format_count, format_list
from semloop.lake import generations
from semloop.storage import store_time
from semloop.storage.errors import storage_errors
from semloop.storage.listing import remove_files, stored_files
from semloop.storage.location import Storage

CHECK = "generations"
TABLE = re.compile(rf"{generations.FOLDER}/generation-([0-9]+)\.lance/.+")
# It is written every few seconds; a slow embedder takes minutes for a batch.
FILLING_S = 600.0


class Generation(NamedTuple):
    """A table of memories, as its files show it.

    `age_s`: since the last change. `begun_s`: since its oldest file was written.
    """

    number: int
    bytes: int
    age_s: float
    begun_s: float


class Content(NamedTuple):
    """How many memories a generation has, and of which model."""

    rows: int
    model: str


def check(context: CheckContext) -> Iterator[Finding]:
    """List the tables, and read those that are newer than the current one."""
    storage = context.require_storage()
    current = generations.current(storage)
    if current is None:
        reason = "The flow `memory` has never run for this lake."
        raise Skipped(reason, "Start it with `semloop up` or `semloop run memory`.")
    found = _listed(storage)
    removable = _removable(storage, current, found)
    if removable:
        numbers = format_list([str(each.number) for each in removable])
        size = format_bytes(sum(each.bytes for each in removable))
        what = f"generation {numbers} of the memories ({size}) was replaced, or has no "
        what += f"memories, and was not changed for {SAFE_HOURS} hours"
        yield left(CHECK, what, lambda: _remove(storage), "removes it")
    newer = [g for g in found if g.number > current and g not in removable]
    for generation in newer:
        yield _half_made(storage, generation)
    if not removable and not newer:
        yield ok(
            CHECK, f"generation {current} is the only one, or the others are young"
        )


def _half_made(storage: Storage, found: Generation) -> Finding:
    content = _content(storage, found.number)
    ago = f"last written {format_duration(found.age_s)} ago"
    if found.age_s < FILLING_S or content is None:
        return ok(CHECK, f"generation {found.number} is being filled ({ago})")
    rows, size = format_count(content.rows, "row"), format_bytes(found.bytes)
    what = f"generation {found.number} is half made: {rows} ({size}) of the model "
    what += f"{content.model}, {ago}"
    todo = "If no reindex or rebuild runs, continue it: `semloop maintain reindex` or "
    todo += "`rebuild`, as before, with the settings that it had. With others it fills "
    todo += "another generation, and `semloop maintain index` then removes this one."
    return warn(CHECK, what, todo)


def _listed(storage: Storage) -> list[Generation]:
    now_s = store_time.now(storage).timestamp()
    sizes: dict[int, int] = defaultdict(int)
    ages: dict[int, list[float]] = defaultdict(list)
    for file in stored_files(storage, generations.FOLDER):
        if match := TABLE.fullmatch(file.name):
            number, age_s = int(match[1]), now_s - file.changed_s
            sizes[number] += file.bytes
            ages[number].append(age_s)
    return [Generation(n, sizes[n], min(ages[n]), max(ages[n])) for n in sorted(sizes)]


def _removable(
    storage: Storage, current: int, found: list[Generation]
) -> list[Generation]:
    """Return the old generations that nothing continues and no reader shows."""
    old = [each for each in found if each.age_s > SAFE_S]
    replaced = [
        each
        for each in old
        if each.number < current and _replaced_for_s(each, current, found) > SAFE_S
    ]
    empty = [g for g in old if g.number > current and _is_empty(storage, g)]
    return replaced + empty


def _replaced_for_s(
    generation: Generation, current: int, found: list[Generation]
) -> float:
    """Return for how long there has been a successor that is current, or was.

    A flow that wrote nothing for a day may have been about to when it was replaced.
    """
    numbers = range(generation.number + 1, current + 1)
    return max((g.begun_s for g in found if g.number in numbers), default=0.0)


def _is_empty(storage: Storage, generation: Generation) -> bool:
    """Return True if it has no memories: a `reindex` was killed as it began."""
    content = _content(storage, generation.number)
    return content is None or not content.rows


def _content(storage: Storage, number: int) -> Content | None:
    """Read a table; None if it is not complete enough to be one."""
    table = generations.open_existing(storage, number)
    if table is None:
        return None
    with storage_errors(storage, f"read table {generations.FOLDER}", lance=True):
        model = (table.schema.metadata or {}).get(b"semloop.model", b"")
        return Content(table.count_rows(), model.decode())


def _remove(storage: Storage) -> str:
    """Remove the generations that are removable now."""
    current = generations.current(storage)
    removable = (
        [] if current is None else _removable(storage, current, _listed(storage))
    )
    for generation in removable:
        folder = (
            f"{generations.FOLDER}/{generations.table_name(generation.number)}.lance"
        )
        # A drop that was killed leaves files without a table: these are listed again.
        remove_files(storage, [file.name for file in stored_files(storage, folder)])
        if not storage.on_s3:
            shutil.rmtree(Path(storage.root, folder), ignore_errors=True)
    numbers = format_list([str(each.number) for each in removable]) or "none"
    size = format_bytes(sum(each.bytes for each in removable))
    return f"removed generation {numbers} of the memories ({size})"
