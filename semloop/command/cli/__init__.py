"""The command line: one table of commands, and how every error is told.

A command's module is imported when the command runs, so starting costs what the command
itself needs. Modules of commands import the heavy libraries inside their functions, so
that `semloop --help` is quick too.
"""

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from semloop import __version__
from semloop.errors import ConfigError, MissingExtra, SemLoopError, unexpected
from semloop.settings import PREFIX, load

# Name -> where its function is; the order is the one of `semloop --help`.
COMMANDS = {
    "demo": "semloop.command.cli.demo:demo",
    "up": "semloop.command.cli.stack:up",
    "down": "semloop.command.cli.down:down",
    "health": "semloop.command.cli.status:health",
    "status": "semloop.command.cli.status:status",
    "import": "semloop.command.cli.import_:import_",
    "run": "semloop.command.cli.run:run",
    "sql": "semloop.command.cli.sql:sql",
    "recall": "semloop.command.cli.recall:recall",
    "show": "semloop.command.cli.show:show",
    "tail": "semloop.command.cli.tail:tail",
    "dlq": "semloop.command.cli.dlq:app",
    "maintain": "semloop.command.cli.maintain:app",
    "doctor": "semloop.command.cli.doctor:doctor",
}
# What we start ourselves.
HIDDEN = {"_supervise": "semloop.command.cli.stack:supervise"}
OURS = ("semloop", "schemas", "sources", "operators", "sinks", "flows")


class Commands(TyperGroup):
    """The commands, each imported when it is needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names for the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command.

        Raises:
            ConfigError: there is none of that name.
        """
        place = (COMMANDS | HIDDEN).get(cmd_name)
        if place is None:
            near = difflib.get_close_matches(cmd_name, COMMANDS, 1)
            msg = f"There is no command {cmd_name!r}."
            todo = f"Did you mean {near[0]!r}? " if near else ""
            raise ConfigError(msg, f"{todo}`semloop --help` lists all.")
        module, _, function = place.partition(":")
        found = getattr(importlib.import_module(module), function)
        if isinstance(found, typer.Typer):  # with commands of its own
            group = typer.main.get_command(found)
            group.name = cmd_name
            return group
        single = typer.Typer(add_completion=False)
        single.command(cmd_name)(found)
        return typer.main.get_command(single)


app = typer.Typer(cls=Commands, add_completion=False)


@app.callback(invoke_without_command=True)
def semloop(
    ctx: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; they may quote events.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.")
    ] = False,
) -> None:
    """Agent events in Kafka become SQL history and searchable memory on open files."""
    if debug:
        # The setting's own variable, so that what we start has it too.
        os.environ[f"{PREFIX}DEBUG"] = "true"
    if version:
        print(f"semloop {__version__}")
    elif ctx.invoked_subcommand is None:
        print(ctx.get_help())
    else:
        return
    raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code."""
    try:
        code = app(arguments, prog_name="semloop", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough; nothing may be flushed into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:
        # DuckDB's form of a Ctrl-C that came while it was at work.
        sys.exit(130 if str(error) == "Query interrupted" else _tell(error))
    except Exception as error:
        sys.exit(_tell(error))
    sys.exit(code if isinstance(code, int) else 0)


def _tell(error: Exception) -> int:
    """Print what happened and what to do about it; the exit code."""
    if _debug():
        traceback.print_exception(error)
    told = _told(error)
    print(told, file=sys.stderr, flush=True)
    return told.exit_code


def _told(error: Exception) -> SemLoopError:
    if isinstance(error, SemLoopError):
        return error
    if isinstance(error, typer.TyperException):
        # Typer tells which command was used wrongly by its context.
        ctx = getattr(error, "ctx", None)
        command = ctx.command_path if ctx else "semloop"
        what = " ".join(error.format_message().split())
        return SemLoopError(what, f"Try: {command} --help")
    if isinstance(error, typer.Abort):
        return SemLoopError("Nothing was done.")
    if isinstance(error, ModuleNotFoundError) and _is_foreign(error.name):
        msg = f"The package {error.name!r} is not installed."
        return MissingExtra(msg, "Run: pip install 'semloop[all]'")
    msg = f"{unexpected(error)}."
    return SemLoopError(msg, "Run `semloop --debug ...` for the traceback.")


def _is_foreign(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] not in OURS


def _debug() -> bool:
    try:
        return load().debug
    except SemLoopError:
        return False
