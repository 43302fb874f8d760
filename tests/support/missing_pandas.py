"""Answers without a search that pandas is not installed.

For each parameter of a query, DuckDB tries twice to import pandas. Python searches all
folders each time, because it remembers only modules that it has found.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

PANDAS = "pandas"


class _Missing(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname == PANDAS:
            msg = f"No module named {PANDAS!r}"
            raise ModuleNotFoundError(msg, name=PANDAS)
        return None


def search_pandas_once() -> None:
    """Search for pandas now, and not again in this process if it is missing."""
    if find_spec(PANDAS) is None:
        sys.meta_path.insert(0, _Missing())
