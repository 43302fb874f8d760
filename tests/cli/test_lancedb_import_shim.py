"""Commands skip LanceDB's REST catalog client; other programs do not."""

import subprocess
import sys
from pathlib import Path

import pytest

SEARCH = """
import sys
from semloop.command.lancedb_import_shim import REST_CLIENT, skip_rest_client
skip_rest_client()
import lancedb
table = lancedb.connect(sys.argv[1]).create_table("t", [{"a": 1, "vector": [1.0, 0.0]}])
table.merge_insert("a").when_not_matched_insert_all().execute([{"a": 2, "vector": [0.0, 1.0]}])
print(table.search([0.0, 1.0]).limit(1).to_list()[0]["a"], sys.modules[REST_CLIENT].__file__)
"""
WITHOUT = """
import semloop, lancedb, sys
from semloop.command.lancedb_import_shim import REST_CLIENT
print(sys.modules[REST_CLIENT].__file__)
"""


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.process
def test_lancedb_works_without_its_rest_client(tmp_path: Path) -> None:
    code = SEARCH.replace(".__file__)", ".__dict__.get('__file__'))")
    assert run(code, str(tmp_path)).split() == ["2", "None"]


@pytest.mark.process
def test_programs_that_import_semloop_get_the_real_rest_client() -> None:
    assert run(WITHOUT).strip().endswith("__init__.py")
