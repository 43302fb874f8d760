"""Commands that run in the process of the test, with the settings of the test.

For flows use `run_flow` or a process: a flow sets up its whole process.
"""

import io
from contextlib import redirect_stderr, redirect_stdout

import pytest

from semloop.command.cli import main
from semloop.settings import Settings
from tests.support.processes import environment


def run_command(settings: Settings, *arguments: str) -> str:
    """Run `semloop ARGUMENTS`, which must succeed; return what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        for name, value in environment(settings).items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as exited:
            main(list(arguments))
    assert not exited.value.code, f"{arguments}: {out.getvalue()}\n{err.getvalue()}"
    return out.getvalue()
