"""The folder list is the diagram: who may import whom, and how large a file may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("semloop", "schemas", "sources", "operators", "sinks", "flows")
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
ALL_FILES = sorted(
    file
    for folder in (*FOLDERS, "tests", "bench", "notebooks", "deploy")
    for file in (ROOT / folder).rglob("*")
    if file.suffix in {".py", ".sql", ".md"}
)
LINES_MAX = 400

# Library <- schemas <- sources, operators, sinks <- flows <- command.
MAY_IMPORT = {
    "library": {"library"},
    "schemas": {"library", "schemas"},
    "sources": {"library", "schemas", "sources"},
    "operators": {"library", "schemas", "operators"},
    "sinks": {"library", "schemas", "sinks"},
    "flows": {"library", "schemas", "sources", "operators", "sinks", "flows"},
}
MAY_IMPORT["command"] = {*MAY_IMPORT, "command"}
COMMAND_MODULES = (
    "semloop.cli", "semloop.local", "semloop.demo", "semloop.doctor", "semloop.__main__",
)  # fmt: skip


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def layer_of(module: str) -> str | None:
    if any(module == name or module.startswith(f"{name}.") for name in COMMAND_MODULES):
        return "command"
    top = module.partition(".")[0]
    if top == "semloop":
        return "library"
    return top if top in FOLDERS else None


def imports_of(file: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
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


def forbidden_imports(file: Path, name: str) -> list[str]:
    layer = layer_of(name)
    assert layer is not None
    found = {module: layer_of(module) for module in imports_of(file)}
    return sorted(
        module
        for module, other in found.items()
        if other is not None and other not in MAY_IMPORT[layer]
    )


@pytest.mark.parametrize("file", FILES, ids=label)
def test_imports_go_one_way(file: Path) -> None:
    assert forbidden_imports(file, name_of(file)) == []


def test_a_forbidden_import_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "step.py"
    file.write_text(
        "import flows.archive\n"
        "def f():\n"
        "    from semloop import cli, errors\n"
        "    from sources import kafka\n"
        "    import duckdb\n"
    )
    assert forbidden_imports(file, "operators.step") == [
        "flows.archive", "semloop.cli", "sources", "sources.kafka",
    ]  # fmt: skip
    assert forbidden_imports(file, "flows.step") == ["semloop.cli"]
    assert forbidden_imports(file, "semloop.cli.step") == []


@pytest.mark.parametrize("file", ALL_FILES, ids=label)
def test_a_file_is_short_and_finished(file: Path) -> None:
    text = file.read_text("utf-8")
    assert len(text.splitlines()) <= LINES_MAX
    for word in ("TO" + "DO", "FIX" + "ME"):
        assert word not in text, f"{word} in {label(file)}"


@pytest.mark.parametrize("file", FILES, ids=label)
def test_no_module_is_named_like_a_library_it_imports(file: Path) -> None:
    libraries = {module.partition(".")[0] for module in imports_of(file)}
    assert file.stem not in libraries - set(FOLDERS)


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {file.parent for file in (ROOT / "tests").rglob("*.py")}
    lacking = [label(f) for f in folders if not (f / "__init__.py").exists()]
    assert lacking == []


def test_importing_semloop_loads_nothing_heavy() -> None:
    heavy = ("duckdb", "pyarrow", "bytewax", "torch", "pydantic", "deltalake")
    code = (
        "import sys, semloop.agent, semloop.settings, semloop.event, semloop.errors\n"
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
