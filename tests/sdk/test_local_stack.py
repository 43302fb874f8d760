"""An agent without a setting sends to the stack of its folder, and to no other one."""

import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from semloop.agent.agent import Agent
from semloop.agent.local_stack import local_stack, nearest_lake
from semloop.kafka.clients import DEFAULT_ADDRESS
from semloop.kafka.topic import Topic
from semloop.local.identity import LakeIdentity, bind
from semloop.settings import Settings, load
from tests.sdk.sent_events import sent
from tests.support.spools import unsent_texts

STACK = {"kafka": "127.0.0.1:7777", "topic": "t", "topic_id": "id-1", "pid": 1}


def write_stack(folder: Path, **fields: object) -> Path:
    lake = folder / ".semloop"
    local = lake / "_local"
    local.mkdir(parents=True, exist_ok=True)
    identity = msgspec.to_builtins(LakeIdentity.new(local))
    (local / "stack.json").write_text(json.dumps(STACK | {"lake": identity} | fields))
    return lake


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in a folder; the current one is the inner one."""
    inner = tmp_path / "project" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    monkeypatch.setenv("HOME", str(tmp_path))
    return inner


def test_the_nearest_stack_of_the_folder_or_one_above_it_is_found(
    project: Path,
) -> None:
    own = project / ".semloop"
    assert nearest_lake(load({})) == own
    assert local_stack(own) is None
    outer = write_stack(project.parent)
    assert nearest_lake(load({})) == outer
    write_stack(project, kafka="127.0.0.1:8888")
    assert nearest_lake(load({})) == own
    found = local_stack(own)
    assert found is not None
    assert (found.kafka, found.topic, found.topic_id) == ("127.0.0.1:8888", "t", "id-1")


def test_a_folder_whose_stack_is_stopped_does_not_use_the_one_above_it(
    project: Path,
) -> None:
    write_stack(project.parent)
    own = project / ".semloop"
    (own / "_local").mkdir(parents=True)
    bind(own / "_local")
    assert nearest_lake(load({})) == own
    assert local_stack(own) is None


def test_a_lake_that_is_set_is_the_only_one(project: Path) -> None:
    write_stack(project.parent)
    lake = project / "lake"
    assert nearest_lake(load({}, lake=str(lake))) == lake
    on_s3 = load({}, lake="s3://bucket/lake")
    assert local_stack(nearest_lake(on_s3)) is None


def test_the_search_ends_at_the_repository_and_at_the_home_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(project.parent)
    (project / ".git").touch()  # as in a worktree of git
    assert nearest_lake(load({})) == project / ".semloop"
    (project / ".git").unlink()
    monkeypatch.setenv("HOME", str(project))
    assert nearest_lake(load({})) == project / ".semloop"


def test_a_stack_of_another_user_is_not_used(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = write_stack(project)
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    assert local_stack(lake) is None


def test_a_stack_of_another_lake_is_not_used(project: Path) -> None:
    lake = write_stack(project)
    copy = shutil.copytree(project, project.parent / "copy") / ".semloop"
    assert local_stack(copy) is None
    link = project.parent / "link"
    link.symlink_to(lake)
    assert local_stack(lake) is not None
    assert local_stack(link) == local_stack(lake)
    moved = project.parent / "moved"
    project.rename(moved)
    assert local_stack(moved / ".semloop") is None


def test_a_stack_whose_broker_died_is_not_used(project: Path) -> None:
    lake = write_stack(project, embedded=True, broker_pid=os.getpid())
    assert local_stack(lake) is None  # this process has no mark of a stack


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kafka": 7}', "{}"])
def test_a_stack_file_that_is_not_valid_is_ignored(project: Path, text: str) -> None:
    lake = write_stack(project)
    (lake / "_local" / "stack.json").write_text(text)
    assert local_stack(lake) is None


def test_an_agent_without_a_stack_spools_and_names_the_folder_once(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load({}, spool=str(tmp_path / "spool"))
    agent = Agent("tester", settings=settings)
    session = agent.session("s-1")
    session.message("user", "hello")
    spool = tmp_path / "spool"
    session.message("user", "again")
    assert unsent_texts(spool) == ["hello", "again"]
    assert not agent.flush(0.5)
    (line,) = [r.getMessage() for r in caplog.records if r.name == "semloop"]
    assert str(project) in line
    assert "SEMLOOP_KAFKA" in line
    assert "semloop up" in line
    assert str(spool) in line
    assert DEFAULT_ADDRESS not in line


def test_events_wait_for_the_stack_and_go_to_its_broker_only(
    project: Path,
    settings: Settings,
    topic: Topic,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kafka, name = settings.kafka, settings.topic
    own = load({}, topic=name, spool=str(tmp_path / "spool"))
    agent = Agent("tester", settings=own)
    agent.session("s-1").message("user", "hello")
    # Another server has taken the port of a stack that crashed.
    write_stack(project.parent, kafka=kafka, topic=name, topic_id="another")
    assert not agent.flush(2)
    assert sent(settings) == []
    write_stack(project.parent, kafka=kafka, topic=name, topic_id=topic.topic_id)
    assert agent.flush(60)
    assert [event["payload"]["content"] for event in sent(settings)] == ["hello"]
    assert unsent_texts(tmp_path / "spool") == []
