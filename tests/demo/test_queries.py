"""docs/queries.md, run on the lake of the demo."""

from collections.abc import Iterator

import pytest

from semloop import Lake
from tests.demo.shell import Shell
from tests.support.documents import DEMO_LAKE, Block, Project, blocks

pytestmark = pytest.mark.process

BLOCKS = [block for page in DEMO_LAKE for block in blocks(page)]


@pytest.fixture(scope="module")
def lake(shown: tuple[Shell, str, str]) -> Iterator[Lake]:
    shell, _, _ = shown
    with Lake(shell.lake) as lake:
        yield lake


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language == "sql"], ids=lambda b: f"line {b.line}"
)
def test_a_statement_of_the_page_returns_rows(lake: Lake, block: Block) -> None:
    result = lake.sql(block.text)
    assert result.fetchone() is not None, block
    assert len(result.columns) == len(set(result.columns)), block


def test_other_tools_read_the_lake_as_the_page_says(
    shown: tuple[Shell, str, str],
) -> None:
    shell, _, _ = shown
    project = Project(shell.folder, SEMLOOP_LAKE=str(shell.lake))
    output = "".join(project.run(b) for b in BLOCKS if b.language != "sql")
    assert "support" in output
    assert "reward: double" in output
