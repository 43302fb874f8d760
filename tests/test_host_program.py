"""`Lake` in a program of someone else, whose folders have the names of ours."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from schemas import arrow

ROOT = Path(__file__).parents[1]
HOST = """
import flows, schemas
from semloop import Lake

assert schemas.OWNER == flows.OWNER == "the host"
with Lake("lake") as lake:
    print(lake.sql("SELECT event_id FROM events").fetchall())
ours = {"operators", "sinks", "sources"} & set(__import__("sys").modules)
assert not ours, ours
"""


def test_a_host_with_its_own_schemas_and_flows_queries_the_lake(tmp_path: Path) -> None:
    for name in ("schemas", "flows"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('OWNER = "the host"\n')
    (tmp_path / "main.py").write_text(HOST)
    now = datetime.now(UTC)
    row = {"event_id": "e1", "ts": now, "ingested_at": now, "date": now.date()}
    write_deltalake(
        str(tmp_path / "lake" / "events"),
        pa.Table.from_pylist([row], schema=arrow.EVENTS),
        partition_by=["date"],
    )
    # The folder of main.py comes first on the path, the installed packages after it.
    done = subprocess.run(
        [sys.executable, "main.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == "[('e1',)]\n"
