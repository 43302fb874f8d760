"""The notebooks, run without a browser: on a lake of the demo's agents, and on others."""

import importlib.util
import re
import shutil
import time
from pathlib import Path

import pytest

from semloop.agent.agent import Agent
from semloop.command.demo import broken
from semloop.command.demo.crowd import Crowd
from semloop.flow_registry import STREAMING
from semloop.settings import Settings, load
from tests.support.in_process import run_flow
from tests.support.lakes import a_topic
from tests.support.processes import ROOT
from tests.support.services import Broker

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
HEADING = re.compile(r"## ([^\\\n\"]+)")


@pytest.fixture(scope="module")
def lake(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with events, episodes, memories, metrics and dead letters."""
    folder = tmp_path_factory.mktemp("notebooks") / "lake"
    settings = load({}, lake=str(folder), kafka=broker.address, topic=a_topic())
    produce(settings)
    for flow in STREAMING:
        run_flow(settings, flow)
    return folder


def produce(settings: Settings) -> None:
    """Send what the demo sends, on a smaller scale, and a session with a version."""
    agent = Agent("travel", version="1.4.0", settings=settings)
    with agent.session("versioned", task="fly to Oslo") as session:
        session.complete("success")
    assert agent.flush(30)
    with Crowd(settings, 300) as crowd:
        while crowd.working:
            time.sleep(0.05)
    broken.produce(settings)


def headings(notebook: Path) -> list[str]:
    """Return the questions of a notebook below its first one."""
    return HEADING.findall(notebook.read_text())


def shown(notebook: Path, lake: Path, patch: pytest.MonkeyPatch) -> str:
    """Run all cells, none of which may raise; return what they show."""
    patch.setenv("SEMLOOP_LAKE", str(lake))
    spec = importlib.util.spec_from_file_location("notebook", notebook)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    outputs, _ = module.app.run()
    return "\n".join(getattr(output, "text", repr(output)) for output in outputs)


def test_a_notebook_begins_with_a_question_and_answers_others() -> None:
    assert len(NOTEBOOKS) == 4
    for notebook in NOTEBOOKS:
        assert notebook.read_text().partition("\n")[0].endswith('?"""')
        assert len(headings(notebook)) >= 4, notebook


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_answers_its_question(
    notebook: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = shown(notebook, lake, monkeypatch)
    assert [text for text in headings(notebook) if text not in page] == []


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lake_without_rows_gives_a_sentence(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = shown(notebook, tmp_path, monkeypatch)
    assert "This lake has no" in page or "this lake has no" in page
    assert [text for text in headings(notebook) if text in page] == []


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lake_that_does_not_exist_gives_the_error_of_the_command(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = shown(notebook, tmp_path / "absent", monkeypatch)
    assert "The lake cannot be opened" in page


def test_a_lake_with_history_alone_shows_it(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_layout.json", "events", "dead_letters"):
        place = tmp_path / "lake" / name
        place.parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (lake / name).is_dir() else shutil.copyfile
        copy(lake / name, place)
    explored, recalled, cost, letters = (
        shown(path, place.parent, monkeypatch) for path in NOTEBOOKS
    )
    assert "What does each agent send?" in explored
    assert "has no episodes yet" in recalled
    assert "has no metrics yet" in cost
    assert "What was in a record?" in letters


def test_episodes_without_memories_show_what_needs_none(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "lake"
    shutil.copytree(lake, copy, ignore=shutil.ignore_patterns("memories*"))
    [notebook] = [path for path in NOTEBOOKS if "recall" in path.stem]
    page = shown(notebook, copy, monkeypatch)
    assert "Which kinds of task go well?" in page
    assert "has no memories yet" in page
