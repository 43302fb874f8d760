"""Every command block of every document is run by a test, or listed with a reason."""

import re
import subprocess

import pytest

from tests.demo.shell import DEMO
from tests.support.documents import (
    CONTRIBUTING,
    DEMO_LAKE,
    JUST,
    LANGUAGES,
    LOCAL_STACK,
    MOVES,
    NOT_RUN,
    OWN_KAFKA,
    QUICKSTART,
    README,
    SUBSCRIBING,
    Block,
    Project,
    blocks,
    fences,
    not_run,
    pages,
)
from tests.support.processes import ROOT

# How a line of a command begins.
COMMANDS = re.compile(
    r"^(\$|#!|(semloop|python3?|pip|just|export|import|from|SELECT) )"
)


def test_the_tests_run_all_pages_that_contain_command_blocks() -> None:
    run = {*LOCAL_STACK, *OWN_KAFKA, *MOVES, *DEMO_LAKE, *JUST, SUBSCRIBING}
    assert {page for page in pages() if blocks(page)} == run


def test_each_listed_exception_is_one_block() -> None:
    listed = [block for page in pages() for block in fences(page) if not_run(block)]
    assert len(listed) == len(NOT_RUN)


def test_command_blocks_are_marked_with_a_language_that_tests_run() -> None:
    for page in pages():
        for block in fences(page):
            assert block.language in {*LANGUAGES, ""}, block
            if not block.language:
                lines = block.text.splitlines()
                assert not any(map(COMMANDS.match, lines)), block


def test_ci_runs_the_test_line_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    read = re.search(r"^test_line=.*$", script, re.MULTILINE)
    assert read is not None
    assert '\nbash -euo pipefail -c "$test_line"' in script
    line = subprocess.check_output(
        ["bash", "-c", f'{read[0]}; echo "$test_line"'], cwd=ROOT, text=True
    )
    assert line == listed(README, "# test\n")


def test_users_install_what_ci_installs_and_run_the_tested_demo() -> None:
    tested, _, _ = listed(README, "# test\n").partition(" && .venv/bin/pytest ")
    installation = tested.replace(" -e ", " ").replace(",test]", "]")
    assert listed(README, "# run\n") == f"{installation} && .venv/bin/semloop demo\n"
    assert listed(QUICKSTART, "python3 ").splitlines()[0] == installation
    assert listed(QUICKSTART, "semloop demo ") == f"semloop {' '.join(DEMO)}\n"


def listed(page: str, start: str) -> str:
    """Return the text of a listed block, without a label such as `# test`."""
    [text] = [b.text for b in fences(page) if not_run(b) and b.text.startswith(start)]
    return text.removeprefix(start) if start.startswith("#") else text


@pytest.fixture
def just_lines() -> Block:
    [block] = blocks(CONTRIBUTING)
    return block


def test_just_accepts_every_line_of_the_contributors_page(just_lines: Block) -> None:
    """A dry run checks recipes and arguments; CI runs what the recipes run."""
    assert all(line.startswith("just ") for line in just_lines.commands)
    dry = just_lines.text.replace("just ", "just --dry-run ")
    Project(ROOT).run(Block(CONTRIBUTING, just_lines.line, "sh", dry))


def test_tiers_and_folders_of_the_contributors_page_exist(
    just_lines: Block, pytestconfig: pytest.Config
) -> None:
    markers = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
    assert set(re.findall(r"-m (\w+)", just_lines.text)) <= markers
    folders = re.findall(r"tests/\w+", just_lines.text)
    assert [name for name in folders if not (ROOT / name).is_dir()] == []
