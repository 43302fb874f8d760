"""Decides which files of a date are merged: always those of consecutive commits.

So the offsets of a partition never overlap in two files, which the deduplication window
of `archive` and the readers of new rows rely on.

The current date is merged in levels, like a log-structured merge tree: ten files of a
level become one of the next. A row is rewritten once per level, and at most nine files
of each level are left. Dates that are over are merged as far as the size of a file
permits. Those of old dates are written again, compressed hard.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from schemas.batches import DataFile, Merge
from schemas.compaction import FILES_MAX, FILES_MIN, TARGET_BYTES, TableDate
from semloop.delta.file_name import BEFORE_ALL, UNNUMBERED


def plan(item: TableDate) -> list[Merge]:
    """Return the merges that are due, without a file in common."""
    if item.cold:
        return _plan_cold(item)
    merges = []
    for run in _small_runs(_in_order(item.files)):
        for files in [run] if item.closed else _due(run):
            merges += [
                Merge(item.table, item.version, item.date, part)
                for part in _parts(files)
                if len(part) > 1
            ]
    return merges


def _plan_cold(item: TableDate) -> list[Merge]:
    """Return merges of all files that are not compressed hard, of single ones too."""
    return [
        Merge(item.table, item.version, item.date, part, cold=item.cold)
        for is_cold, run in groupby(_in_order(item.files), lambda f: f.name.is_cold)
        if not is_cold
        for part in _parts(list(run))
    ]


def plan_unnumbered(item: TableDate) -> list[Merge]:
    """Return merges of the files of earlier versions, whose names have no number.

    The merged files get a number before all others, so that `plan` takes them, too.
    """
    files = [file for file in item.files if file.name.first == UNNUMBERED]
    return [
        Merge(item.table, item.version, item.date, part, first=BEFORE_ALL)
        for part in _parts(sorted(files, key=lambda file: file.place))
        if len(part) > 1
    ]


def _in_order(files: Sequence[DataFile]) -> list[DataFile]:
    """Return the files of which the order of commits is known, in that order.

    Files without a number are of an earlier version, or of another program, which may
    write at any time: next to files with one they are left alone.
    """
    numbered = [file for file in files if file.name.first != UNNUMBERED]
    return sorted(numbered or files, key=lambda file: file.place)


def _small_runs(files: Iterable[DataFile]) -> Iterator[list[DataFile]]:
    """Yield the small files between two that are large enough."""
    run: list[DataFile] = []
    for file in files:
        if file.size_bytes >= TARGET_BYTES // 2 or file.name.is_whole:
            yield run
            run = []
        else:
            run.append(file)
    yield run


def _due(run: Sequence[DataFile]) -> list[list[DataFile]]:
    """Return the stretches of the lowest level that has enough files."""
    for level in sorted({file.name.level for file in run}):
        due = [
            stretch
            for stretch in _stretches(run, level)
            if sum(file.name.level == level for file in stretch) >= FILES_MIN
        ]
        if due:
            return due
    return []


def _stretches(run: Sequence[DataFile], level: int) -> Iterator[list[DataFile]]:
    """Yield the files at or below a level, between two that are above it."""
    stretch: list[DataFile] = []
    for file in run:
        if file.name.level > level:
            yield stretch
            stretch = []
        else:
            stretch.append(file)
    yield stretch


def _parts(files: Sequence[DataFile]) -> Iterator[tuple[DataFile, ...]]:
    """Cut into parts within the bounds of a merged file and of a log entry."""
    part: list[DataFile] = []
    size = 0
    for file in files:
        if part and (size + file.size_bytes > TARGET_BYTES or len(part) == FILES_MAX):
            yield tuple(part)
            part, size = [], 0
        part.append(file)
        size += file.size_bytes
    if part:
        yield tuple(part)
