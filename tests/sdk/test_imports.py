"""An agent is quick to import: what it does not need, or not yet, is not imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT

pytestmark = pytest.mark.process

# Of other distributions, and of the standard library where they take milliseconds.
HEAVY = {
    "aiohttp", "asyncio", "bytewax", "confluent_kafka", "dataclasses", "deltalake",
    "difflib", "duckdb", "email", "hmac", "importlib.metadata", "json", "lancedb",
    "multiprocessing", "numpy", "onnxruntime", "pandas", "pyarrow", "pydantic", "random",
    "rich", "secrets", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "tomllib",
    "torch", "typer", "unicodedata", "urllib.request",
}  # fmt: skip
# msgspec imports `typing_extensions`, and by it `inspect`, where it is installed.
HOST = """
import sys
before = set(sys.modules)
sys.modules["typing_extensions"] = None
import semloop
print("msgspec" in sys.modules, "logging" in sys.modules)
from semloop import Agent
agent = Agent("a")
with agent.session(task="t") as s:
    s.tool("search")
print(*sorted(set(sys.modules) - before))
"""


def test_an_agent_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    done = subprocess.run(
        # Without `site`, whose .pth files import what they like.
        [sys.executable, "-S", "-c", HOST],
        # Without a stack in this folder or above it, no thread connects to a broker.
        cwd=tmp_path,
        env={
            "PYTHONPATH": f"{ROOT}:{_site_packages()}",
            "SEMLOOP_SPOOL": str(tmp_path / "spool"),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    package, imported = done.stdout.splitlines()
    assert package == "False False"
    names = set(imported.split())
    assert {"msgspec", "semloop.agent.session"} <= names
    assert names & HEAVY == set()
    assert "inspect" not in names


def _site_packages() -> str:
    import msgspec

    return str(Path(msgspec.__file__).parents[1])
