"""Lakes that earlier versions wrote, and what the views of those versions showed."""

import json
import tarfile
from pathlib import Path
from typing import Any

from semloop import Lake
from semloop.settings import Settings
from tests.sinks.memory_process import lake_settings

Answers = dict[str, list[dict[str, Any]]]


def layout_2(folder: Path) -> tuple[Settings, Answers]:
    """Unpack the lake that `layout_2.py` wrote; return its settings and answers."""
    with tarfile.open(Path(__file__).parent / "layout-2.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    answers: Answers = json.loads((folder / "answers.json").read_text())
    return lake_settings(folder / "lake"), answers


def assert_answers(settings: Settings, answers: Answers) -> None:
    """Verify that each view has the same rows, in the columns that it had then."""
    with Lake(settings=settings, stale_s=0) as lake:
        for view, rows in answers.items():
            columns = ", ".join(f'"{name}"' for name in rows[0])
            found = lake.sql(f"SELECT {columns} FROM {view} ORDER BY ALL")
            shown = json.dumps(found.to_arrow_table().to_pylist(), default=str)
            assert json.loads(shown) == rows, view
