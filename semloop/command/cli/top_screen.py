"""The screen of `semloop top`: readable in 80 columns and without colour."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from semloop.command.cli.top_state import Figures, TopState
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_count
from semloop.escaping import visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

# Rows of each table of a screen that is printed once.
ROWS_ONCE = 20
# Lines of a screen without the rows of its tables.
OTHER_LINES = 10
NAME_CELLS = 20
# Share of the calls that may fail before it is marked.
FAILED_SHARE_MAX = 0.1


class Sort(StrEnum):
    """Column by which rows are sorted, the largest first."""

    EVENTS = "events"
    FAILED = "failed"
    CREDITS = "credits"
    P95 = "p95"

    def next(self) -> "Sort":
        """Return the next one, in a circle."""
        every = list(Sort)
        return every[(every.index(self) + 1) % len(every)]


_ORDER: dict[Sort, Callable[[Figures], float]] = {
    Sort.EVENTS: lambda row: row.events,
    Sort.FAILED: lambda row: row.failed + row.errors,
    Sort.CREDITS: lambda row: row.credits_used,
    Sort.P95: lambda row: row.p95_ms or 0.0,
}


def screen(
    state: TopState, sort: Sort, height: int | None = None, keys: str = ""
) -> "RenderableType":
    """Return the screen.

    Args:
        state: what to show.
        sort: how agents and tools are sorted.
        height: lines of the terminal; None: print more rows.
        keys: a last line about keys.
    """
    from rich.console import Group
    from rich.text import Text

    rows = ROWS_ONCE if height is None else max(2, (height - OTHER_LINES) // 2)
    parts: list[RenderableType] = [
        Text(_headline(state), style="bold"),
        Text(_flows(state)),
        Text(""),
        _table("agent", _OF_AGENTS, state.agents, sort, rows),
        Text(""),
        _table("tool", _OF_TOOLS, state.tools, sort, rows),
    ]
    if keys:
        parts.append(Text(f"{keys}   sorted by {sort}", style="dim"))
    return Group(*parts)


def _headline(state: TopState) -> str:
    fleet = state.fleet
    parts = [
        f"{fleet.events / state.minutes:,.1f} events/min",
        format_count(state.agent_count, "agent"),
        format_count(state.open_episodes, "open episode"),
        f"{_share(fleet.failed, fleet.calls)} of calls failed",
        f"{_percent(fleet.success)} success",
    ]
    return ", ".join(parts)


def _flows(state: TopState) -> str:
    at = state.at.strftime("%H:%M:%S")
    lags = [
        f"{flow} {'level' if not lag else f'{lag:,} behind'}"
        for flow, lag in state.lags.items()
    ]
    flows = ", ".join(lags) or "no flow has run yet"
    return f"last {state.minutes} min until {at} UTC; {flows}"


def _table(
    title: str, columns: "_Columns", rows: Sequence[Figures], sort: Sort, count: int
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column(title, no_wrap=True, max_width=NAME_CELLS)
    for name in columns:
        shown = f"{name}*" if name == sort else name
        # Only names are shortened where a line has too few characters.
        least = max([len(shown), *(len(columns[name](row)) for row in rows)])
        table.add_column(shown, justify="right", no_wrap=True, min_width=least)
    ordered = sorted(rows, key=_ORDER[sort], reverse=True)
    for row in ordered[:count]:
        is_bad = row.calls and row.failed / row.calls > FAILED_SHARE_MAX
        cells = (visible(row.name), *(cell(row) for cell in columns.values()))
        table.add_row(*map(Text, cells), style="yellow" if is_bad else "")
    if not rows:
        table.add_row(Text("-"))
    elif len(rows) > count:
        table.add_row(Text(f"and {len(rows) - count:,} more"))
    return table


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


_Columns = Mapping[str, Callable[[Figures], str]]
_OF_TOOLS: _Columns = {
    "calls": lambda row: f"{row.calls:,}",
    "failed": lambda row: f"{row.failed:,}",
    "failing": lambda row: _share(row.failed, row.calls),
    "p95": lambda row: (
        "-" if row.p95_ms is None else format_duration(row.p95_ms / 1_000)
    ),
}
_OF_AGENTS: _Columns = {
    "events": lambda row: f"{row.events:,}",
    **{name: cell for name, cell in _OF_TOOLS.items() if name != "failed"},
    "errors": lambda row: f"{row.errors:,}",
    "success": lambda row: _percent(row.success),
    "credits": lambda row: f"{row.credits_used:.4g}",
}
