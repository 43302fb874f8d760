"""The page of the commands: the help of each."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

import typer

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
    group = typer.main.get_command(app)
    for name in COMMANDS:
        command = group.get_command(None, name)
        subcommands = getattr(command, "commands", {})
        yield (name,)
        for subcommand in subcommands:
            yield (name, subcommand)


def _help(words: Sequence[str]) -> str:
    """What a terminal of 80 columns without colours shows."""
    environ = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    shown = subprocess.check_output(
        [sys.executable, "-P", "-m", "semloop", *words, "--help"],
        env=environ,
        text=True,
    )
    return "\n".join(line.rstrip() for line in shown.strip("\n").splitlines()).strip()
