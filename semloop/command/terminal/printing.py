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
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
