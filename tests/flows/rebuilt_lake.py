"""What a rebuild must not change: episodes and memories, as readers see them."""

import shutil
from pathlib import Path
from typing import Any

from semloop.settings import Settings
from tests.flows.reindex_lake import memories_by_id
from tests.sinks.memory_process import query_rows


def episodes_by_id(settings: Settings) -> dict[str, dict[str, Any]]:
    """Id -> newest revision, without what a rebuild may change."""
    query = """
        SELECT * EXCLUDE (revision, closed_by, archived_at, ingested_at, date)
        FROM tables.episodes
        QUALIFY row_number() OVER (PARTITION BY episode_id ORDER BY revision DESC) = 1
    """
    return {row["episode_id"]: dict(row) for row in query_rows(settings, query)}


def both(settings: Settings) -> tuple[dict[str, Any], dict[bytes, Any]]:
    """Episodes and memories, by id."""
    return episodes_by_id(settings), memories_by_id(settings)


def delete_both(settings: Settings) -> None:
    """Delete both tables, as a person would."""
    for name in ("episodes", "memories"):
        shutil.rmtree(Path(settings.lake, name))


def files_of(settings: Settings) -> set[str]:
    """Return the names of all files of the lake."""
    root = Path(settings.lake)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def count_of_rows(settings: Settings, table: str) -> int:
    """Return the number of rows of the newest version of a Delta table."""
    (row,) = query_rows(settings, f"SELECT count(*) AS rows FROM tables.{table}")
    rows: int = row["rows"]
    return rows
