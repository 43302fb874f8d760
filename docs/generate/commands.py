"""The page of the commands: the help of each."""

from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

import typer
from typer import rich_utils
from typer.testing import CliRunner

from semloop.command.cli import COMMANDS, app

INTRODUCTION = """# Commands

The help of every command. Exit codes: [errors](errors.md). Source:
`semloop/command/cli`.
"""


def page() -> str:
    """Return the page."""
    return INTRODUCTION + "".join(
        f"\n## semloop {' '.join(words)}\n\n```\n{_help(words)}\n```\n"
        for words in [(), *_all()]
    )


def _all() -> Iterator[Sequence[str]]:
    group: Any = typer.main.get_command(app)
    for name in COMMANDS:
        command = group.get_command(None, name)
        subcommands = getattr(command, "commands", {})
        yield (name,)
        for subcommand in subcommands:
            yield (name, subcommand)


def _help(words: Sequence[str]) -> str:
    """Return what a terminal of 80 columns without colors shows."""
    # typer reads the width when it is imported for the first time.
    with patch.multiple(rich_utils, MAX_WIDTH=80, COLOR_SYSTEM=None):
        shown = CliRunner().invoke(app, [*words, "--help"], prog_name="semloop").output
    return "\n".join(line.rstrip() for line in shown.strip("\n").splitlines()).strip()
