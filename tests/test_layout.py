"""Layout rules: allowed imports, and limits on the size of files and classes."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT

FOLDERS = ("semloop", "schemas", "sources", "operators", "sinks", "flows")
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
ALL_FILES = sorted(
    file
    for folder in (*FOLDERS, "tests", "bench", "notebooks", "deploy")
    for file in (ROOT / folder).rglob("*")
    if file.suffix in {".py", ".sql", ".md"}
)
# For Python, SQL and documents alike, tests included: a file that is longer has several
# subjects.
LINES_MAX = 300
CLASS_LINES_MAX, ARGUMENTS_MAX = 200, 6


@functools.cache
def tree_of(file: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(file.read_text("utf-8"))


@functools.cache
def imports_of(file: Path) -> frozenset[str]:
    """Return every module that a file imports, at its top or inside a function."""
    return frozenset(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            assert node.module is not None
            # `from semloop import cli` imports a module, `from x import Name` may not.
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def label(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.process
def test_imports_satisfy_the_contracts() -> None:
    """The contracts in pyproject.toml define which folder may import which."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_imports_are_absolute() -> None:
    for file in FILES:
        assert all(imports_of(file)), label(file)


def test_files_are_short_and_have_no_open_tasks() -> None:
    texts = {file: file.read_text("utf-8") for file in ALL_FILES}
    long = [
        label(file)
        for file, text in texts.items()
        if len(text.splitlines()) > LINES_MAX
    ]
    assert long == []
    for word in ("TO" + "DO", "FIX" + "ME"):
        assert [label(f) for f, text in texts.items() if word in text] == []


def test_classes_are_short_and_constructors_have_few_parameters() -> None:
    for file in FILES:
        for node in ast.walk(tree_of(file)):
            if not isinstance(node, ast.ClassDef):
                continue
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= CLASS_LINES_MAX, (label(file), node.name, lines)
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    given = method.args
                    taken = len(given.args) + len(given.kwonlyargs) - 1
                    assert taken <= ARGUMENTS_MAX, (label(file), node.name, taken)


def test_commands_print_only_through_the_functions_that_escape() -> None:
    home = ROOT / "semloop/command/terminal"
    printers = ("print(", "sys.stdout.write", "sys.stderr.write", "Console(", "echo(")
    found = [
        (label(file), number)
        for file in FILES
        if file.is_relative_to(ROOT / "semloop/command") and file.parent != home
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if re.search(rf"(?<![\w.])({'|'.join(map(re.escape, printers))})", line)
        and "def print(" not in line
    ]
    assert found == []


def test_no_module_is_named_like_a_library_it_imports() -> None:
    def libraries(file: Path) -> set[str]:
        return {module.partition(".")[0] for module in imports_of(file)} - {*FOLDERS}

    assert [label(file) for file in FILES if file.stem in libraries(file)] == []


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {file.parent for file in (ROOT / "tests").rglob("*.py")}
    lacking = [label(f) for f in folders if not (f / "__init__.py").exists()]
    assert lacking == []


@pytest.mark.process
def test_importing_semloop_loads_no_heavy_module() -> None:
    heavy = ("duckdb", "pyarrow", "bytewax", "torch", "pydantic", "deltalake")
    code = (
        "import sys, semloop.agent.agent, semloop.settings, semloop.event, semloop.errors\n"
        "from semloop import as_prompt\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
