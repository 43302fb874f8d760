"""Plain values of commands are converted without Pydantic, as Typer converts them."""

import subprocess
import sys
from typing import Any

import pytest
import typer
from typer.core import TyperOption

from semloop.command.cli import COMMANDS, HIDDEN, app
from semloop.command.cli.plain_values import (
    NOT_PLAIN,
    TESTED,
    plain_value,
    take_plain_values,
)
from tests.cli.helpers import Semloop

# Whether or not another test has run a command before.
TYPERS_OWN: Any = getattr(
    TyperOption.get_runtime_param, "converts_all", TyperOption.get_runtime_param
)
IMPORTED = """
import sys
from semloop.command.cli import main
try:
    main(["health", "--format", "json"])
except SystemExit:
    pass
import flows.archive, flows.memory, flows.compact
print([name for name in ("pydantic", "rich") if name in sys.modules])
"""


def parameters() -> list[Any]:
    """All parameters of all commands."""
    root: Any = typer.main.get_command(app)
    commands = [root.get_command(None, name) for name in (*COMMANDS, *HIDDEN)]
    for command in commands:
        commands.extend(getattr(command, "commands", {}).values())
    return [parameter for command in commands for parameter in command.params]


def values_of(parameter: Any) -> list[object]:
    """The default, no value, a text, and the choices of a parameter."""
    choices = parameter.type_descriptor.choices or ()
    texts = [str(choice.value) for choice in choices]
    return [parameter.default, None, "a text", *choices, *texts]


def test_plain_values_are_those_that_typer_returns() -> None:
    take_plain_values()
    compared = 0
    for parameter in parameters():
        for value in values_of(parameter):
            plain = plain_value(value, parameter.type_descriptor)
            if plain is NOT_PLAIN:
                continue
            expected = TYPERS_OWN(parameter).coerce(value, param=parameter, ctx=None)
            assert (plain, type(plain)) == (expected, type(expected)), parameter.name
            compared += 1
    assert compared > 100


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["recall", "x", "-k", "many"], "valid integer"),
        (["show", "x", "--format", "xml"], "'xml' is not one of 'table', 'json'"),
        (["run", "archive", "--processes", "0"], "greater than or equal to 1"),
    ],
)
def test_typer_reports_invalid_values(
    arguments: list[str], reason: str, semloop: Semloop
) -> None:
    assert reason in semloop.refused(*arguments)[0]


def test_another_release_of_typer_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Restored at the end of the test, whichever it is now.
    monkeypatch.setattr(TyperOption, "get_runtime_param", TYPERS_OWN)
    monkeypatch.setattr(typer, "__version__", "0.30.0")
    take_plain_values()
    assert TyperOption.get_runtime_param is TYPERS_OWN
    monkeypatch.undo()
    # Else look at what its converter does, and add the release to `TESTED`.
    assert typer.__version__.startswith(TESTED)


@pytest.mark.process
def test_commands_and_flows_import_neither_pydantic_nor_rich() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
