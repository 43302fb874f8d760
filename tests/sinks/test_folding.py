"""Compaction of `episodes` folds superseded revisions; what views show never changes."""

import itertools
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.errors import LakeError
from semloop.storage.location import Storage
from semloop.table_declaration import Table
from sinks.compaction.log_entry import Outcome
from sinks.compaction.merged_file import write_merged
from sinks.compaction.row_queries import merged_rows
from tests.sinks.compacting import (
    SteppedStorage,
    at_request,
    compact,
    due,
    file_count,
    requests,
)
from tests.sinks.episodes_table import EpisodesTable, newest_of
from tests.support.examples import examples

fold = partial(compact, table="episodes")
numbers = st.lists(st.integers(0, 5), max_size=4, unique=True)
actions = st.one_of(
    st.tuples(st.just("commit"), numbers, numbers),
    st.tuples(st.just("commit"), numbers, numbers),
    st.tuples(st.just("fold"), numbers, numbers),
    st.tuples(st.just("next day"), numbers, numbers),
)


def written(folder: Path) -> EpisodesTable:
    """Return a table with three episodes, of which two are closed."""
    table = EpisodesTable(Storage(str(folder)))
    for _ in range(3):
        table.commit(0, 1, 2)
    table.commit(0, 1, closed=[0, 1])
    return table


@pytest.mark.slow
@examples(8)
@given(st.lists(actions, max_size=15))
def test_views_show_the_newest_revisions_at_every_moment(
    steps: list[tuple[str, list[int], list[int]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = EpisodesTable(Storage(folder))
        for kind, touched, closed in steps:
            if kind == "commit":
                table.commit(*touched, closed=closed)
            elif kind == "next day":
                table.now += timedelta(days=1)
            else:
                assert set(fold(table.storage)) <= {Outcome.COMMITTED}
            assert newest_of(table.stored()) == table.expected()
        fold(table.storage)
        assert table.shown() == table.expected()
        assert table.refused == []


def test_a_merged_file_has_one_revision_of_each_episode(tmp_path: Path) -> None:
    table = written(tmp_path)
    assert fold(table.storage) == [Outcome.COMMITTED]
    assert table.stored() == table.expected()
    # An open episode continues, and is folded by the next merge.
    table.commit(2, closed=[2])
    assert len(table.stored()) == 4
    assert fold(table.storage) == [Outcome.COMMITTED]
    assert (
        table.stored()
        == table.shown()
        == [(0, 4, "closed"), (1, 4, "closed"), (2, 4, "closed")]
    )


@pytest.mark.slow
def test_a_maintainer_frozen_at_any_request_loses_no_revision(tmp_path: Path) -> None:
    count = requests(written(tmp_path / "count").storage, fold)
    for number in range(count):
        table = written(tmp_path / str(number))

        def rival(table: EpisodesTable = table) -> None:
            table.commit(2, closed=[2])
            fold(table.storage)
            table.commit(3)

        steps = at_request(number, rival)
        fold(SteppedStorage(table.storage.root, before=steps))
        assert newest_of(table.stored()) == table.expected(), number
        fold(table.storage)
        assert table.stored() == table.expected(), number
        assert (table.refused, file_count(table.storage, "episodes")) == ([], 1)


@pytest.mark.slow
def test_appends_alongside_folds_are_not_refused(tmp_path: Path) -> None:
    table = written(tmp_path)
    for number in itertools.chain(range(2, 8), range(4, 10)):
        table.commit(number, closed=[number - 2])
        fold(table.storage)
    assert table.refused == []
    assert table.shown() == table.stored() == table.expected()


@pytest.mark.parametrize(
    ("good", "bad"),
    [("max(revision)", "min(revision)"), ("SEMI JOIN", "ANTI JOIN"), (" AND ", " OR ")],
)
def test_a_fold_of_other_rows_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: str, bad: str
) -> None:
    table = written(tmp_path)
    (merge,) = due(table.storage, "episodes")

    def broken(
        spec: Table, uris: Sequence[str], rows: str, **more: bool
    ) -> tuple[str, list[list[str]]]:
        sql, values = merged_rows(spec, uris, rows, **more)
        assert good in sql
        return sql.replace(good, bad), values

    monkeypatch.setattr("sinks.compaction.merged_file.merged_rows", broken)
    with pytest.raises(LakeError, match="would change rows"):
        write_merged(table.storage, merge)
    assert len(table.stored()) == 11
