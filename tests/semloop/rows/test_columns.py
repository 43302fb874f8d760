"""Columns are chosen by pairs; a wrong pair is explained in one line."""

import pytest

from semloop.errors import ConfigError
from semloop.rows.columns import Columns


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (["content"], "--map needs FIELD=COLUMN, got 'content'."),
        (["=text"], "--map needs FIELD=COLUMN, got '=text'."),
        (["content="], "--map needs FIELD=COLUMN, got 'content='."),
        (["words=text"], "An event has no field 'words'."),
        (["content=a", "content=b"], "--map names the field 'content' twice."),
    ],
)
def test_a_pair_that_cannot_be_used_is_refused(given: list[str], what: str) -> None:
    with pytest.raises(ConfigError) as failure:
        Columns.parse(given)
    assert failure.value.what == what


def test_a_column_that_does_not_exist_is_named_with_those_that_do() -> None:
    columns = Columns.parse(["content=txt"])
    with pytest.raises(ConfigError) as failure:
        columns.check(["text", "who"], "'a.csv'")
    assert failure.value.what == "'a.csv' has no column 'txt'."
    assert failure.value.todo == "Its columns are: text, who."
    columns.check(["txt"], "'a.csv'")
    Columns.parse(["content=txt.plain"]).check(["txt"], "'a.csv'")


def test_an_equals_sign_may_be_in_the_name_of_a_column() -> None:
    assert Columns.parse(["content=a=b"]).chosen == {"content": "a=b"}
