"""rich, as the commands use it: no markup in texts, no control characters in them."""

import os
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from semloop.escaping import visible

# Width of a table in a file or pipe, unless COLUMNS is set.
PIPE_CHARS = 120


class TerminalConsole(Console):
    """A console that escapes hidden characters in all that it prints.

    Texts that are aligned must be escaped before, since an escape is longer.
    """

    def __init__(self, out: TextIO) -> None:
        width = None if out.isatty() or "COLUMNS" in os.environ else PIPE_CHARS
        super().__init__(
            file=out, width=width, highlight=False, markup=False, emoji=False
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of anything printed, its texts escaped."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(visible(text), style)
