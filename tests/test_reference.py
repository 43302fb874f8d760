"""The pages of `docs/reference` match the program."""

import pytest

from docs.generate.pages import FOLDER, PAGES, content
from semloop.lake.columns import VIEW_COLUMNS
from semloop.lake.lake import Lake


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_just_generate_writes(name: str) -> None:
    assert (FOLDER / name).read_text() == content(name)


def test_every_page_is_generated() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


def test_every_column_of_every_view_is_described_in_duckdb(tmp_path: object) -> None:
    with Lake(str(tmp_path)) as lake:
        comments = lake.sql(
            "SELECT table_name, column_name, comment FROM duckdb_columns()"
            " WHERE schema_name = 'main' AND NOT internal"
        ).fetchall()
        views = lake.views()
    assert {view for view, _, _ in comments} == set(views) == set(VIEW_COLUMNS)
    assert {(view, column): text for view, column, text in comments} == {
        (view, column): text
        for view, columns in VIEW_COLUMNS.items()
        for column, text in columns.items()
    }
