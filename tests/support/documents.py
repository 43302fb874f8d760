"""The command blocks of the documents, and a project folder in which they run.

A command block is fenced and marked `sh`, `python` or `sql`. Fences without a language
contain output and diagrams.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markdown_it import MarkdownIt

from tests.support.processes import ROOT

LANGUAGES = {"sh", "python", "sql"}
# "# agent.py": a Python block that is a file of the project.
FILE = re.compile(r"# (\w+\.py)$")
COMMENT = re.compile(r"\s+# .*$")

README = "README.md"
CONTRIBUTING = "CONTRIBUTING.md"
QUICKSTART = "docs/quickstart.md"
MEMORY = "docs/memory.md"
AGENTS = "docs/agents.md"
OPERATING = "docs/operating.md"
PRIVACY = "docs/privacy.md"
BACKUP = "docs/backup.md"
DEPLOYING = "docs/deploying.md"
QUERIES = "docs/queries.md"
METRICS = "docs/metrics.md"
MIGRATING = "docs/migrating.md"
SUBSCRIBING = "docs/subscribing.md"

# The pages of each test; the tests iterate over these.
LOCAL_STACK = (QUICKSTART, README, MEMORY, PRIVACY)
OWN_KAFKA = (AGENTS, OPERATING)
MOVES = (MIGRATING,)
DEMO_LAKE = (QUERIES, METRICS)
JUST = (CONTRIBUTING,)

# Blocks that the tests above do not run, by page and start of the text, with the reason.
# `tests/documents/test_blocks.py` checks the reasons.
NOT_RUN = {
    (README, "# run\n"): "downloads 440 MB; CI installs the same by the test line",
    (README, "# test\n"): "runs this suite; CI runs it",
    (QUICKSTART, "python3 -m venv "): "repeats the installation of README's run line",
    (QUICKSTART, "semloop demo "): "tests/demo runs it and checks its output",
    (BACKUP, "# cp: "): "tests/backup runs it on a lake under load",
    (BACKUP, "# rsync: "): "tests/backup runs it on a lake under load",
    (BACKUP, "# rclone: "): "tests/backup runs it on a lake under load",
    (BACKUP, "# aws: "): "tests/backup runs it on a lake under load",
    (QUERIES, "# pip, notebooks"): "CI installs the same by the test line",
    (
        QUERIES,
        "# notebook, ",
    ): "serves until stopped; tests/cli/test_notebook.py runs it",
    (DEPLOYING, "# kubectl, first"): "needs a cluster; tests/deploy renders the files",
    (DEPLOYING, "# kubectl, rotation"): "needs a cluster",
    (DEPLOYING, "# kubectl, update"): "needs a cluster; tests/deploy renders the files",
    (DEPLOYING, "# kubectl, one-off"): "needs a cluster",
    (
        DEPLOYING,
        "# waxctl",
    ): "needs waxctl; tests/deploy runs the files as its chart does",
    (DEPLOYING, "# compose"): "needs Docker; tests/deploy checks the file",
    (DEPLOYING, "# systemd, inst"): "needs root; tests/deploy checks the units",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int  # of the opening fence in the page, from 1
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}\n{self.text}"

    @property
    def file(self) -> str:
        """The file that a Python block is; empty if the page runs it as it is."""
        match = FILE.match(self.text.partition("\n")[0])
        return match[1] if match and self.language == "python" else ""

    @property
    def in_notebook(self) -> bool:
        """True if the block shares names with the Python blocks next to it."""
        return self.language == "python" and not self.file

    @property
    def script(self) -> str:
        """The text at its line of the page, which interpreters then report."""
        return "\n" * self.line + self.text

    @property
    def commands(self) -> set[str]:
        """The lines of the block without comments."""
        return set(map(_command, self.text.splitlines()))

    def without(self, commands: set[str]) -> "Block":
        """Return a shell block without these lines."""
        lines = self.text.splitlines(keepends=True)
        kept = [line for line in lines if _command(line) not in commands]
        return replace(self, text="".join(kept))

    def continued(self, following: "Block") -> "Block":
        """Return a block with both texts, each at its line of the page."""
        between = "\n" * (following.line - self.line - self.text.count("\n"))
        return replace(self, text=self.text + between + following.text)

    def replaced(self, placeholders: Mapping[str, str]) -> "Block":
        """Return the block with values for placeholders, each of which it contains."""
        text = self.text
        for placeholder, value in placeholders.items():
            assert placeholder in text, f"{placeholder!r} is not in {self}"
            text = text.replace(placeholder, value)
        return replace(self, text=text)


def pages() -> list[str]:
    """Return all documents, relative to the repository."""
    tracked = ["git", "ls-files", "*.md"]
    return subprocess.check_output(tracked, cwd=ROOT, text=True).splitlines()


def fences(page: str) -> list[Block]:
    """Return all fenced blocks of a page, also those without a language."""
    tokens = MarkdownIt().parse((ROOT / page).read_text("utf-8"))
    return [
        Block(page, token.map[0] + 1, token.info, token.content)
        for token in tokens
        if token.type == "fence" and token.map
    ]


def not_run(block: Block) -> bool:
    """Return True if a block is on the list of those that no test runs."""
    return any(
        page == block.page and block.text.startswith(start) for page, start in NOT_RUN
    )


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page that a test must run, in order.

    Consecutive Python blocks are one block: the later ones use names of the earlier
    ones, as in a notebook.
    """
    found: list[Block] = []
    for block in fences(page):
        if block.language not in LANGUAGES or not_run(block):
            continue
        if found and found[-1].in_notebook and block.in_notebook:
            found[-1] = found[-1].continued(block)
        else:
            found.append(block)
    return found


class Project:
    """A new user's project folder, and a shell in it."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self._environ = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "COLUMNS": "120",
        }
        self._environ |= environ

    def run(self, block: Block) -> str:
        """Run a block, which must succeed, or write its file; return its stdout."""
        if block.file:
            (self.folder / block.file).write_text(block.text)
            return ""
        shell = ["bash", "-euo", "pipefail", "-c"]
        program, stdin = {
            "sh": ([*shell, block.script], ""),
            "python": ([sys.executable, "-W", "error", "-c", block.script], ""),
            "sql": (["semloop", "sql"], block.text),
        }[block.language]
        done = self._execute(program, stdin)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        # Commands also report progress there.
        assert block.language == "sh" or not done.stderr, f"{block}\n{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """Stop a stack that a failed block has left running."""
        self._execute(["semloop", "down", "--force"])

    def _execute(
        self, program: Sequence[str], stdin: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            program,
            env=self._environ,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
        )


def _command(line: str) -> str:
    return COMMENT.sub("", line.rstrip("\n"))
