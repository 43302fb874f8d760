"""The two distributions that the repository builds, and the hints to install them."""

import json
import tomllib
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from semloop.extras import DISTRIBUTION, install_todo
from tests.support.processes import ROOT

FLOWS = "semloop-lake-flows"


def names(requirements: list[str] | None) -> set[str]:
    return {Requirement(text).name for text in requirements or []}


def flows_project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "packaging/flows/pyproject.toml").read_text())


def test_nothing_requires_the_strangers_package_of_our_import_name() -> None:
    own, flows = metadata.requires(DISTRIBUTION), metadata.requires(FLOWS)
    assert FLOWS in names(own)
    assert names(flows) == {DISTRIBUTION}
    assert "semloop" not in names(own)


def test_both_distributions_have_one_version_and_require_exactly_it() -> None:
    version = metadata.version(DISTRIBUTION)
    assert metadata.version(FLOWS) == version
    pins = {
        str(requirement.specifier)
        for text in [*(metadata.requires(DISTRIBUTION) or []), f"{FLOWS}=={version}"]
        if (requirement := Requirement(text)).name == FLOWS
    }
    assert pins == {f"=={version}"}
    assert flows_project()["project"]["dependencies"] == [f"{DISTRIBUTION}=={version}"]


def test_the_flows_distribution_has_every_package_but_the_library() -> None:
    tools = flows_project()["tool"]["setuptools"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    packages -= {"semloop", "docs", "tests"}
    assert set(tools["package-dir"]) == packages
    assert {
        name.removesuffix("*") for name in tools["packages"]["find"]["include"]
    } == packages


def test_the_flows_distribution_has_every_data_file() -> None:
    tools = flows_project()["tool"]["setuptools"]
    patterns = [*tools["package-data"]["*"], "*.py", "*.pyc", "*.md"]
    left_out = [
        str(path)
        for package in tools["package-dir"]
        for path in (ROOT / package).rglob("*.*")
        if not any(fnmatch(path.name, pattern) for pattern in patterns)
    ]
    assert left_out == []


@pytest.fixture
def installed_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that lets the distribution look as if pip installed it from there."""

    def install(direct_url: object) -> None:
        folder = tmp_path / "site/semloop_lake-9.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            "Metadata-Version: 2.4\nName: semloop-lake\nVersion: 9\n"
        )
        if direct_url is not None:
            (folder / "direct_url.json").write_text(json.dumps(direct_url))
        monkeypatch.syspath_prepend(folder.parent)

    return install


def test_the_hint_names_the_distribution_where_it_came_from_an_index(
    installed_from: Any,
) -> None:
    installed_from(None)
    assert install_todo("query") == "Run: pip install 'semloop-lake[query]'"
    assert install_todo("all") == "Run: pip install 'semloop-lake[all]'"
    assert install_todo("") == "Run: pip install semloop-lake"


@pytest.mark.parametrize("editable", [False, True])
def test_the_hint_installs_from_the_clone_where_it_came_from_one(
    editable: bool, installed_from: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "a clone"
    clone.mkdir()
    (clone / "constraints.txt").touch()
    installed_from(
        {"url": clone.as_uri(), "dir_info": {"editable": True} if editable else {}}
    )
    option = "-e " if editable else ""
    command = f"pip install -c constraints.txt {option}'.[query]'"
    assert install_todo("query") == f"Run in {clone}: {command}"
    monkeypatch.chdir(clone)
    assert install_todo("query") == f"Run: {command}"
    flows = f"pip install -c constraints.txt {option}'.[all]' {option}./packaging/flows"
    assert install_todo("all") == f"Run: {flows}"
    assert install_todo("") == f"Run: pip install -c constraints.txt {option}."


def test_the_hint_ignores_a_clone_that_was_removed(
    installed_from: Any, tmp_path: Path
) -> None:
    installed_from({"url": (tmp_path / "gone").as_uri(), "dir_info": {}})
    assert install_todo("query") == "Run: pip install 'semloop-lake[query]'"
