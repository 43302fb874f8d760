"""Which files are merged, and how many small ones are left."""

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from operators.compaction import plan
from schemas.batches import DataFile, Merge
from schemas.compaction import FILES_MAX, FILES_MIN, TARGET_BYTES, TableDate
from semloop.delta.file_name import FileName

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SMALL_BYTES = TARGET_BYTES // 2
sizes = st.one_of(st.integers(1, 10_000), st.integers(1, 2 * TARGET_BYTES))


def file_of(number: int, size: int, level: int = 0, minutes: int = 0) -> DataFile:
    name = FileName(level, number, number if level else None)
    return DataFile(name.new(), size, name, NOON + timedelta(minutes=minutes))


def item_of(
    files: Sequence[DataFile], *, closed: bool, version: int = 10**6
) -> TableDate:
    return TableDate("events", version, DAY, tuple(files), closed=closed)


def merged_file(merge: Merge) -> DataFile:
    size = sum(file.size_bytes for file in merge.files)
    newest = max(file.ingested_at for file in merge.files)
    return DataFile(merge.name.new(), size, merge.name, newest)


def after(files: Sequence[DataFile], merges: Sequence[Merge]) -> list[DataFile]:
    replaced = {file.path for merge in merges for file in merge.files}
    kept = [file for file in files if file.path not in replaced]
    return kept + [merged_file(merge) for merge in merges]


@st.composite
def dates(draw: st.DrawFn) -> TableDate:
    """Files of any level, in any order, whose clocks are wrong."""
    found = draw(
        st.lists(
            st.tuples(sizes, st.integers(0, 3), st.integers(-500, 500)), max_size=80
        )
    )
    files = [file_of(n, *values) for n, values in enumerate(found)]
    shuffled = draw(st.permutations(files))
    return item_of(shuffled, closed=draw(st.booleans()))


@given(dates())
def test_a_merge_takes_consecutive_commits_within_its_bounds(item: TableDate) -> None:
    numbers = [file.name.first for file in item.files]
    seen: set[int] = set()
    for merge in plan(item):
        taken = [file.name.first for file in merge.files]
        assert taken == [n for n in sorted(numbers) if taken[0] <= n <= taken[-1]]
        assert 1 < len(taken) <= FILES_MAX
        assert sum(file.size_bytes for file in merge.files) <= TARGET_BYTES
        assert seen.isdisjoint(taken)
        seen.update(taken)


@given(dates())
def test_every_file_belongs_to_one_merge_at_most_and_work_ends(item: TableDate) -> None:
    files: list[DataFile] = list(item.files)
    for _ in range(100):
        merges = plan(item_of(files, closed=item.closed))
        if not merges:
            break
        count = len(files)
        files = after(files, merges)
        assert len(files) < count
    assert sum(f.size_bytes for f in files) == sum(f.size_bytes for f in item.files)
    if item.closed:
        small = [f.size_bytes for f in sorted(files, key=lambda file: file.place)]
        assert all(a + b > TARGET_BYTES or max(a, b) >= SMALL_BYTES
                   for a, b in itertools.pairwise(small))  # fmt: skip


@given(st.integers(1, 4_000), st.integers(1, 200), st.integers(1, 10**6))
def test_few_small_files_are_left_however_many_commits(
    commits: int, between_runs: int, size: int
) -> None:
    files: list[DataFile] = []
    rewritten = 0
    for begin in range(0, commits, between_runs):
        numbers = range(begin, min(commits, begin + between_runs))
        files += [file_of(number, size) for number in numbers]
        while merges := plan(item_of(files, closed=False)):
            rewritten += sum(f.size_bytes for m in merges for f in m.files)
            files = after(files, merges)
        levels = {file.name.level for file in files}
        small = [file for file in files if file.size_bytes < SMALL_BYTES]
        assert len(small) < FILES_MIN * (1 + max(levels))
    # A day of one-second commits has five levels, however large the files are.
    assert max(f.name.level for f in files) <= 5
    assert rewritten <= 5 * commits * size


UNNUMBERED = [
    DataFile(f"part-{n}.parquet", 10, FileName(), NOON + timedelta(days=9 - n))
    for n in range(9)
]


def test_files_of_an_earlier_version_merge_by_time_of_ingestion() -> None:
    (merge,) = plan(item_of(UNNUMBERED, closed=True))
    assert list(merge.files) == UNNUMBERED[::-1]


def test_files_of_other_programs_are_left_alone_between_numbered_ones() -> None:
    numbered = [file_of(number, 10) for number in (3, 8)]
    (merge,) = plan(item_of([*numbered, *UNNUMBERED], closed=True))
    assert list(merge.files) == numbered


def test_a_merged_file_is_complete_when_the_last_of_its_rows_is() -> None:
    files = [file_of(2, 10, level=1), *(file_of(n, 10) for n in range(5, 15))]
    (merge,) = plan(item_of(files, closed=True, version=20))
    assert merge.name == FileName(level=2, first=2, complete_at=20)
    compacted = [file_of(n, 10, level=1) for n in (3, 7)]
    (merge,) = plan(item_of(compacted, closed=True, version=20))
    assert merge.name == FileName(level=2, first=3, complete_at=7)


@given(st.integers(0, 9), st.integers(-1, 10**9), st.integers(0, 10**9))
def test_a_name_is_read_as_it_was_written(level: int, first: int, at: int) -> None:
    name = FileName(level, first, at)
    assert FileName.of(f"date=2026-11-20/{name.new()}") == name
    part = FileName(first=abs(first))
    assert FileName.of(part.new()) == part


def test_names_of_other_writers_have_no_number() -> None:
    for path in (
        "date=2026-11-20/part-0a5c1a4e-0000-4000-8000-123456789012.zstd.parquet",
        "part-00000-0a5c1a4e-0000-4000-8000-123456789012-c000.zstd.parquet",
        "compacted.parquet",
    ):
        assert FileName.of(path) == FileName()
    assert FileName(first=4).new() != FileName(first=4).new()
