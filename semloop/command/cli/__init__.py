"""The command line: the table of commands, and the printing of errors.

The module of a command is imported only when the command runs, and imports heavy
libraries inside its functions, so that commands and `semloop --help` start quickly.
"""

import difflib
import functools
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from semloop import __version__
from semloop.command.cli.plain_values import take_plain_values
from semloop.command.terminal.printing import accept_all_characters, note, say
from semloop.errors import ConfigError, MissingExtra, SemLoopError, unexpected
from semloop.extras import FLOWS_DISTRIBUTION, install_todo
from semloop.masking import masked
from semloop.settings import PREFIX, load

# Name -> function, in the order of `semloop --help`.
COMMANDS = {
    "demo": "semloop.command.cli.demo:demo",
    "up": "semloop.command.cli.up:up",
    "down": "semloop.command.cli.down:down",
    "health": "semloop.command.cli.health:health",
    "status": "semloop.command.cli.status:status",
    "import": "semloop.command.cli.import_:import_",
    "watch": "semloop.command.cli.watch:watch",
    "run": "semloop.command.cli.run:run",
    "sql": "semloop.command.cli.sql:sql",
    "recall": "semloop.command.cli.recall:recall",
    "show": "semloop.command.cli.show:show",
    "export": "semloop.command.cli.export:export",
    "tail": "semloop.command.cli.tail:tail",
    "top": "semloop.command.cli.top:top",
    "notebook": "semloop.command.cli.notebook:notebook",
    "dlq": "semloop.command.cli.dlq:app",
    "spool": "semloop.command.cli.spool:app",
    "maintain": "semloop.command.cli.maintain:app",
    "redact": "semloop.command.cli.redact:redact",
    "doctor": "semloop.command.cli.doctor:doctor",
}
# Commands that only SemLoop itself starts.
HIDDEN = {"_supervise": "semloop.command.cli.up:supervise"}
# Packages of the distribution that the extra `[flows]` adds.
FLOWS_PACKAGES = ("schemas", "sources", "operators", "sinks", "flows")


class Commands(TyperGroup):
    """The commands, each imported on first use."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names for the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command.

        Raises:
            ConfigError: there is no command of this name.
        """
        place = (COMMANDS | HIDDEN).get(cmd_name)
        if place is None:
            near = difflib.get_close_matches(cmd_name, COMMANDS, 1)
            msg = f"There is no command {cmd_name!r}."
            todo = f"Did you mean {near[0]!r}? " if near else ""
            raise ConfigError(msg, f"{todo}`semloop --help` lists all commands.")
        return _imported(cmd_name, place)


@functools.cache
def _imported(cmd_name: str, place: str) -> Any:
    module, _, name = place.partition(":")
    function = getattr(importlib.import_module(module), name)
    if isinstance(function, typer.Typer):  # with subcommands
        group = typer.main.get_command(function)
        group.name = cmd_name
        return group
    single = typer.Typer(add_completion=False)
    single.command(cmd_name)(function)
    return typer.main.get_command(single)


app = typer.Typer(cls=Commands, add_completion=False)


@app.callback(invoke_without_command=True)
def semloop(
    ctx: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may print event content.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    """Store agent events from Kafka as SQL history and searchable memory."""
    if debug:
        # As an environment variable, so that child processes inherit it.
        os.environ[f"{PREFIX}DEBUG"] = "true"
    if version:
        say(f"semloop {__version__}")
    elif ctx.invoked_subcommand is None:
        say(ctx.get_help())
    else:
        return
    raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its exit code."""
    accept_all_characters()
    take_plain_values()
    try:
        _check_text(sys.argv[1:] if arguments is None else arguments)
        code = app(arguments, prog_name="semloop", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the pipe; flushing into it at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:
        # DuckDB raises this on Ctrl-C during a query.
        sys.exit(130 if str(error) == "Query interrupted" else _report(error))
    except Exception as error:
        sys.exit(_report(error))
    sys.exit(code if isinstance(code, int) else 0)


def _check_text(arguments: Sequence[str]) -> None:
    """Refuse bytes that are no text, which Kafka, DuckDB and Arrow cannot take.

    Python turns them into surrogates. Only names of files that exist may have them.

    Raises:
        ConfigError: an argument has some.
    """
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            if not os.path.exists(argument):
                msg = f"Argument {number} is not UTF-8: {argument!r}."
                todo = "Give it as UTF-8, which the terminal's locale must be, too."
                raise ConfigError(msg, todo) from None


def _report(error: Exception) -> int:
    """Print what happened and what to do about it; return the exit code."""
    if _debug():
        note(masked("".join(traceback.format_exception(error))))
    reported = _as_semloop_error(error)
    note(str(reported))
    return reported.exit_code


def _as_semloop_error(error: Exception) -> SemLoopError:
    if isinstance(error, SemLoopError):
        return error
    if isinstance(error, typer.TyperException):
        # The context names the command that was used incorrectly.
        ctx = getattr(error, "ctx", None)
        command = ctx.command_path if ctx else "semloop"
        what = " ".join(error.format_message().split())
        return SemLoopError(what, f"Try: {command} --help")
    if isinstance(error, typer.Abort):
        return SemLoopError("Canceled.")
    if isinstance(error, ModuleNotFoundError) and (name := _package(error.name)):
        msg = f"The package {name!r} is not installed."
        return MissingExtra(msg, install_todo("all"))
    msg = f"{unexpected(error)}."
    return SemLoopError(msg, "Run `semloop --debug ...` for the traceback.")


def _package(module: str | None) -> str | None:
    """Return the package that lacks a module; None if the module is missing in ours."""
    if module in FLOWS_PACKAGES:
        return FLOWS_DISTRIBUTION
    top = (module or "").partition(".")[0]
    return None if top in ("", "semloop", *FLOWS_PACKAGES) else module


def _debug() -> bool:
    try:
        return load().debug
    except SemLoopError:
        return False
