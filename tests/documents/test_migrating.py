"""docs/migrating.md, in one folder, on a Kafka of its own topic."""

from ast import literal_eval
from pathlib import Path

import pytest

from tests.support.documents import MIGRATING, Project, blocks
from tests.support.lakes import a_topic
from tests.support.services import Broker

pytestmark = pytest.mark.process

# Start of a block -> texts in its output.
EXPECTED = {
    "semloop import memory.json --agent notes-bot --dry-run": [
        "Would make: 2 message, 1 tool_call.",
        "user <- user, time <- at, content <- text, tool <- tool, arguments <- args, "
        "result <- output; other columns, kept in `source`: 1.",
    ],
    "semloop import memory.json --agent notes-bot --map": ["aisle seats"],
    "python compare.py": ["4 rows in both; 0 only in the file; 0 only in the lake."],
    "python read.py": ["'text': 'Ann now prefers window seats.'", "'_table': 'calls'"],
}


def test_a_file_of_notes_moves_to_the_lake_in_three_phases(
    broker: Broker, tmp_path: Path
) -> None:
    kafka = {"SEMLOOP_KAFKA": broker.address, "SEMLOOP_TOPIC": a_topic()}
    project = Project(tmp_path, **kafka)
    seen = set()
    for block in blocks(MIGRATING):
        output = project.run(block)
        for start in [s for s in EXPECTED if block.text.startswith(s)]:
            seen.add(start)
            assert all(text in output for text in EXPECTED[start]), output
            if start == "python read.py":
                rows = [sorted(literal_eval(r).items()) for r in output.splitlines()]
                in_file, in_lake = rows[: len(rows) // 2], rows[len(rows) // 2 :]
                assert sorted(in_lake, key=str) == sorted(in_file, key=str)
    assert seen == EXPECTED.keys()
