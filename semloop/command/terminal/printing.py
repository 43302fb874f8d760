"""All lines that commands print: nothing in them can control the terminal.

`tests/test_layout.py` allows no other way to print. Rows of a machine's formats are
exact: JSON has escapes of its own, CSV has none.
"""

import sys
from typing import TYPE_CHECKING, TextIO

from semloop.escaping import visible

if TYPE_CHECKING:
    from semloop.command.terminal.console import TerminalConsole


def say(text: str, *, end: str = "\n", style: str = "", flush: bool = False) -> None:
    """Print a text to standard output, not wrapped.

    Args:
        text: may contain anything.
        end: what follows it.
        style: its style, in the words of rich, if standard output is a terminal.
        flush: show it now, not with the next ones.
    """
    if style:
        from rich.text import Text

        console_of(sys.stdout).print(Text(text, style), end=end, soft_wrap=True)
    else:
        print(visible(text), end=end, flush=flush)


def note(text: str, *, end: str = "\n") -> None:
    """Print a text to standard error: for people, while rows go elsewhere."""
    print(visible(text), end=end, file=sys.stderr, flush=True)


def console_of(out: TextIO) -> "TerminalConsole":
    """Return a console for tables."""
    from semloop.command.terminal.console import TerminalConsole

    return TerminalConsole(out)


def accept_all_characters() -> None:
    """Escape what the terminal's encoding lacks, instead of failing at it."""
    _reconfigure(errors="backslashreplace")


def print_for_programs() -> None:
    """Print UTF-8 to standard output, as JSON requires, in any locale."""
    _reconfigure(encoding="utf-8")


def _reconfigure(**options: str) -> None:
    # A stream that replaces standard output in a test, or a notebook, may lack it.
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(**options)
