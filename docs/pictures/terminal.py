"""A terminal in tmux, whose screens become an SVG file."""

import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS, ROWS = 108, 34
PROMPT = "$"
POLL_S = 0.2
COMMAND_S = 180
# Size of a character cell of the SVG, in its pixels.
CELL_X, CELL_Y, MARGIN = 7.2, 16, 12
FOREGROUND, BACKGROUND = "#d9d9d9", "#0c0c0c"
# How long a screen of a recording is shown: while a command runs, and when it is done.
SHOWN_S, READ_S = 0.7, 5.0


@dataclass(frozen=True)
class Screen:
    """What the terminal showed, with its colours as escape sequences."""

    text: str
    shown_s: float


class Terminal:
    """A shell in a tmux server of its own.

    Args:
        folder: where commands run.
        environ: variables to set.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        """Start the shell."""
        self._socket = folder / "tmux.socket"
        variables = [f"{name}={value}" for name, value in environ.items()]
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS),
            "-c", str(folder), "env", *variables, f"PS1={PROMPT} ", "bash", "--norc",
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tmux("kill-server")

    def run(self, command: str) -> list[Screen]:
        """Type a command on an empty screen; return the screens until it ends.

        Raises:
            TimeoutError: it does not end.
        """
        self._tmux("send-keys", "clear", "Enter")
        self._tmux("send-keys", "-l", command)
        self._tmux("send-keys", "Enter")
        screens: list[str] = []
        end = time.monotonic() + COMMAND_S
        while time.monotonic() < end:
            time.sleep(POLL_S)
            screen = self._tmux("capture-pane", "-e", "-p")
            if not screens or screen != screens[-1]:
                screens.append(screen)
            lines = Text.from_ansi(screen).plain.split("\n")
            written = [line.rstrip() for line in lines if line.strip()]
            if len(written) > 1 and written[-1] == PROMPT:
                *running, done = screens
                return [
                    *(Screen(text, SHOWN_S) for text in running),
                    Screen(done, READ_S),
                ]
        msg = f"{command} did not end"
        raise TimeoutError(msg)

    def _tmux(self, *arguments: str) -> str:
        return subprocess.check_output(
            ["/usr/bin/env", "tmux", "-S", str(self._socket), *arguments], text=True
        )


def as_svg(screens: list[Screen], title: str) -> str:
    """Return screens as an SVG file; several are shown one after the other."""
    lines = max(len(_lines(screen)) for screen in screens)
    width, height = COLUMNS * CELL_X + 2 * MARGIN, lines * CELL_Y + 2 * MARGIN
    total = sum(screen.shown_s for screen in screens)
    styles, groups, at_s = [], [], 0.0
    for number, screen in enumerate(screens):
        start, at_s = at_s, at_s + screen.shown_s
        groups.append(f'<g class="s{number}">{_drawn(screen)}</g>')
        if len(screens) > 1:
            styles.append(_animation(number, start / total, at_s / total, total))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'role="img"><title>{escape(title)}</title><style>'
        f"text{{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        f"fill:{FOREGROUND};white-space:pre}}{''.join(styles)}</style>"
        f'<rect width="100%" height="100%" rx="6" fill="{BACKGROUND}"/>'
        f"{''.join(groups)}</svg>\n"
    )


def _animation(number: int, start: float, end: float, total_s: float) -> str:
    hidden, shown = "visibility:hidden", "visibility:visible"
    return (
        # Without animations, the last screen is visible alone.
        f".s{number}{{{hidden if end < 1 else shown};"
        f"animation:k{number} {total_s:.1f}s step-end infinite}}"
        f"@keyframes k{number}{{0%{{{shown if start == 0 else hidden}}}"
        f"{start:.3%}{{{shown}}}{end:.3%}{{{hidden if end < 1 else shown}}}}}"
    )


def _lines(screen: Screen) -> list[list[Segment]]:
    """Return the lines of a screen, without empty ones and the prompt at the end."""
    console = Console(width=COLUMNS, color_system="truecolor", force_terminal=True)
    text = Text.from_ansi(screen.text.rstrip())
    lines = console.render_lines(text, pad=False)
    while lines and "".join(s.text for s in lines[-1]).strip() in {"", PROMPT}:
        lines.pop()
    return lines


def _drawn(screen: Screen) -> str:
    """Return the characters of a screen as SVG, a text for each run of one colour."""
    drawn = []
    for row, line in enumerate(_lines(screen)):
        column = 0
        for segment in line:
            for word in re.finditer(r"\S+(?: \S+)*", segment.text):
                x = MARGIN + (column + word.start()) * CELL_X
                y = MARGIN + row * CELL_Y + 12
                length = len(word[0]) * CELL_X
                drawn.append(
                    f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}"'
                    f"{_look(segment.style)}>{escape(word[0], quote=False)}</text>"
                )
            column += len(segment.text)
    return "".join(drawn)


def _look(style: Style | None) -> str:
    if style is None:
        return ""
    look = ' font-weight="bold"' if style.bold else ""
    if style.color is not None and not style.color.is_default:
        colour = style.color.get_truecolor(MONOKAI).hex
        look += f' style="fill:{colour}"'
    return look + (' opacity="0.6"' if style.dim else "")
