"""Commands skip parts of LanceDB's imports; other programs do not."""

import subprocess
import sys
from pathlib import Path

import pytest

SEARCH = """
import sys
from semloop.command.lancedb_import_shim import (
    CHECKS, REST_CLIENT, UNUSED, import_less_of_lancedb
)
import_less_of_lancedb()
import lancedb
table = lancedb.connect(sys.argv[1]).create_table("t", [{"a": 1, "vector": [1.0, 0.0]}])
table.merge_insert("a").when_not_matched_insert_all().execute([{"a": 2, "vector": [0.0, 1.0]}])
print(table.search([0.0, 1.0]).limit(1).to_list()[0]["a"])
print(any(hasattr(sys.modules[name], "__file__") for name in (REST_CLIENT, CHECKS, *UNUSED)))
"""
WITHOUT = """
import semloop, lancedb, sys
from semloop.command.lancedb_import_shim import CHECKS, REST_CLIENT
print(sys.modules[REST_CLIENT].__file__, sys.modules[CHECKS].__file__)
"""

DECORATORS = """
import sys
from semloop.command.lancedb_import_shim import import_less_of_lancedb
if sys.argv[1] == "less":
    import_less_of_lancedb()
from overrides import EnforceOverrides, final, override, overrides

class Base:
    def a(self): return 1
    def b(self): return 1
    @final
    def c(self): return 1

class Derived(Base, EnforceOverrides):
    @override
    def a(self): return 2
    @overrides(check_signature=False, check_at_runtime=False)
    def b(self): return 3

print(Derived().a(), Derived().b(), Derived().c())
"""


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.process
def test_lancedb_works_without_these_parts(tmp_path: Path) -> None:
    assert run(SEARCH, str(tmp_path)).split() == ["2", "False"]


@pytest.mark.process
def test_programs_that_import_semloop_get_the_real_modules() -> None:
    assert run(WITHOUT).count("__init__.py") == 2


@pytest.mark.process
@pytest.mark.parametrize("modules", ["all", "less"])
def test_the_decorators_are_those_of_the_real_module(modules: str) -> None:
    assert run(DECORATORS, modules).split() == ["2", "3", "1"]
