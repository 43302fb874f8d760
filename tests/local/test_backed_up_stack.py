"""A lake that was backed up while its stack ran starts elsewhere with its rows."""

import shutil
from pathlib import Path

import pytest

from semloop.settings import LOCAL_FOLDER
from semloop.storage.key_file import KEY_FILE
from tests.backup.scripts import copy
from tests.local.project import Project
from tests.support.services import wait_for

MEMORIES = """
    SELECT count(*) AS n, count(DISTINCT (topic_id, kafka_partition, kafka_offset)) AS events
    FROM memories WHERE kind = 'event'
"""

pytestmark = pytest.mark.process


def test_a_back_up_of_a_running_stack_continues_as_a_stack_of_its_own(
    original: Project, tmp_path: Path
) -> None:
    original.run("up")
    original.import_events(30)
    original.run("run", "memory", "--until-caught-up")
    restored = Project(tmp_path / "restored")
    copy("cp", str(original.lake), str(restored.lake))
    key = Path(LOCAL_FOLDER, KEY_FILE)
    (restored.lake / key).parent.mkdir(mode=0o700)
    shutil.copy(original.lake / key, restored.lake / key)
    assert "warn 0, FAIL 0" in restored.run("maintain", "check")
    original.run("down")

    restored.run("up")
    restored.import_events(20)
    wait_for("all events", lambda: restored.events() == 50)
    restored.run("run", "memory", "--until-caught-up")
    (row,) = restored.json("sql", MEMORIES)
    assert row == {"n": 50, "events": 50}
    assert "warn 0, FAIL 0" in restored.run("maintain", "check")
    restored.run("down")
