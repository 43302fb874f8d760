"""Commands that run in the process of the test, with the settings of the test.

For flows use `run_flow` or a process: a flow sets up its whole process.
"""

import io
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout

import pytest

from semloop.command.cli import main
from semloop.settings import Settings
from tests.support.processes import environment


def run_command(settings: Settings, *arguments: str) -> str:
    """Run `semloop ARGUMENTS`, which must succeed; return what it printed."""
    code, out, err = execute(environment(settings), *arguments)
    assert code == 0, f"{arguments}: {out}\n{err}"
    return out


def execute(environ: Mapping[str, str], *arguments: str) -> tuple[int, str, str]:
    """Run `semloop ARGUMENTS`; return exit code, stdout and stderr.

    Args:
        environ: variables to set in addition to those of the test.
        arguments: the command and its options.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        for name, value in environ.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as exited:
            main(list(arguments))
    return int(exited.value.code or 0), out.getvalue(), err.getvalue()
