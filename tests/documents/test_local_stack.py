"""Quickstart, README and docs/memory.md in one folder, on one local stack.

The quickstart starts and stops the stack; the other pages run before its last block.
Lines of README that the quickstart contains too run only there.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from semloop import Lake
from tests.support.documents import LOCAL_STACK, Block, Project, blocks

# Some thirty commands: half a minute on an idle machine.
pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

# Part of a block -> text in the output of the first block that contains this part.
EXPECTED = {
    "semloop up": "semloop status, semloop down",
    "semloop health": "ok    flow archive runs",
    "semloop run archive --until-caught-up": "lines that become dead letters: 1.",
    "semloop show trip-1": "sold out",
    "semloop sql": '"tool": "book", "status": "error"',
    "semloop tail": "Where is order 1234?",
    "python ask.py": "[('search', 1), ('book', 2)]",
    "semloop recall": "sold out",
    "semloop dlq ls": "chat-2",
    "semloop status": ", caught up",
    "semloop down": "Everything is in the lake",
    'recall "refund refused because of the fare class"': "5 results",
    "hits = lake.recall(": "success 1.0 fly to Oslo.",
    "python agent_with_memory.py": "<recalled_memories>",
    "--format prompt": "sold out</text>",
    "--kind episode": "fly to Oslo. Outcome success",
    "FROM memories WHERE kind = 'episode'": "trip-1",
}


@pytest.fixture
def project(usual_port: None, tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path)
    yield project
    project.stop()


def test_every_block_runs_and_prints_the_expected_output(project: Project) -> None:
    missed = dict(EXPECTED)
    for block in in_one_stack():
        output = project.run(block)
        for part in [part for part in missed if part in block.text]:
            assert missed.pop(part) in output, f"{block}\n{output}"
    assert missed == {}
    with Lake(project.folder / ".semloop") as lake:
        completed = lake.sql(
            "SELECT count(*) FROM events WHERE agent = 'travel' AND type = 'completion'"
        )
        assert completed.fetchall() == [(2,)]  # of agent.py and of README


def in_one_stack() -> list[Block]:
    """Return the blocks of the pages, such that only one stack starts."""
    quickstart, *others = map(blocks, LOCAL_STACK)
    *first, stop = quickstart
    assert "semloop down" in stop.commands
    repeated = {line for block in quickstart for line in block.commands}
    between = [
        block.without(repeated) if block.language == "sh" else block
        for page in others
        for block in page
    ]
    return [*first, *between, stop]
