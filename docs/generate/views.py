"""The page of the views and of `recall`, from a lake without rows."""

import tempfile

from docs.generate.markdown import table
from semloop.lake.columns import VIEW_COLUMNS
from semloop.lake.lake import Lake

INTRODUCTION = """# Views and their columns

`semloop sql`, `Lake.sql` and any DuckDB with the statements of `semloop sql
--print-init` show these views. The texts are comments in DuckDB too:
`SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'events'`.
Source: `semloop/lake/columns.py`, `semloop/lake/views`.

"""


def page() -> str:
    """Return the page."""
    with tempfile.TemporaryDirectory() as folder, Lake(folder) as lake:
        parts = []
        for view, question in lake.views().items():
            columns = lake.sql(f"DESCRIBE {view}").fetchall()
            rows = [
                (f"`{name}`", f"`{kind}`", VIEW_COLUMNS[view][name])
                for name, kind, *_ in columns
            ]
            heading = f"## {view}\n\n{question}\n\n"
            parts.append(heading + table(("column", "type", "meaning"), rows))
    return INTRODUCTION + "\n".join(parts)
