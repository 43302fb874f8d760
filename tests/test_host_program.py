"""`Lake` and `Agent` in a host program with packages of the same names."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from schemas import arrow
from tests.support.processes import ROOT
from tests.support.services import free_port
from tests.support.spools import unsent

pytestmark = pytest.mark.process

HOST = """
import flows, schemas
from semloop import Agent, Lake

assert schemas.OWNER == flows.OWNER == "the host"
with Lake("lake") as lake:
    print(lake.sql("SELECT event_id FROM events").fetchall())
agent = Agent("guest")
with agent.session("s-1", task="visit") as s:
    s.message("user", "hello")
print(agent.flush(0.1), agent.dropped)
ours = {"operators", "sinks", "sources"} & set(__import__("sys").modules)
assert not ours, ours
"""


def test_a_host_with_its_own_schemas_and_flows_queries_and_emits(
    tmp_path: Path,
) -> None:
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
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SEMLOOP_KAFKA": f"127.0.0.1:{free_port()}",
            "SEMLOOP_SPOOL": str(tmp_path / "spool"),
            "SEMLOOP_AGENT_FLUSH_S": "2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[('e1',)]\nFalse 0\n"
    # Without a broker the event is in the spool, and one line reports that.
    [warning] = done.stderr.splitlines()
    assert "Events are stored in" in warning
    [event, *_] = unsent(tmp_path / "spool")
    assert event["meta"]["session_id"] == "s-1"
