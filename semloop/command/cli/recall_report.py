"""The hits of `semloop recall` for people: two or three lines each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from semloop.command.cli.excerpts import excerpt, marks_in
from semloop.command.cli.local_option import in_zone
from semloop.command.terminal.figures import format_count
from semloop.escaping import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Hit = Mapping[str, Any]
# Maximum lines of a text, and of the one after it.
TEXT_LINES, AFTER_LINES = 3, 1
# In a narrow terminal, lines are longer than it.
CHARS_MIN = 20
# Columns between rank and text, and by which the text after it is indented.
GAP = 2
THEN = "then: "
PARTS = (
    "similarity", "keyword", "keyword_context", "neighbours", "session", "decay"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HitPrinter:
    """Prints hits as wide as a console.

    Attributes:
        console: where to print.
        terms: terms whose words are marked.
        rank_columns: width of the largest rank.
        namespaces: True if hits are shown with their namespace.
        explain: True if the parts of the scores are shown.
        local: True if times are in the time zone of the terminal.
    """

    console: "Console"
    terms: Collection[str]
    rank_columns: int
    namespaces: bool
    explain: bool
    local: bool

    def print(self, rank: int, hit: Hit, like_it: int) -> None:
        """Print a hit.

        Args:
            rank: its place in the list.
            hit: its row.
            like_it: number of near-equal hits that are not shown.
        """
        from rich.text import Text

        column = self.rank_columns + GAP
        width = self.console.width - column
        head = _in_lines(_head(hit, namespace=self.namespaces, local=self.local), width)
        self._print(Text(head), column, str(rank))
        if self.explain:
            self._print(Text(_parts(hit), "dim"), column)
        self._print(self._text(hit["text"], self.terms, TEXT_LINES), column)
        if hit["after"]:
            after = self._text(hit["after"], (), AFTER_LINES, THEN)
            after.stylize("dim")
            self._print(after, column + GAP)
        if like_it:
            self._print(Text(f"and {like_it:,} like it", "dim"), column + GAP)

    def _text(
        self, text: str, terms: Collection[str], lines: int, label: str = ""
    ) -> "Text":
        """Return a label and as much of a text as fits in these lines, marked."""
        from rich.text import Text

        text = one_line(text)
        marks = marks_in(text, terms)
        width = max(self.console.width - self.rank_columns - 2 * GAP, CHARS_MIN)
        chars = lines * width
        while True:
            part = excerpt(text, marks, chars)
            shown = Text(label + part.text)
            # Characters of some languages are two columns wide, and words vary.
            if len(shown.wrap(self.console, width)) <= lines or chars <= CHARS_MIN:
                break
            chars -= max(chars // 10, 1)
        for mark in part.marks:
            shown.stylize("bold", len(label) + mark.start, len(label) + mark.end)
        return shown

    def _print(self, text: "Text", column: int, margin: str = "") -> None:
        """Print a text, wrapped, from a column of the console on; left of it a margin.

        The text is not padded, so that no line ends with spaces.
        """
        from rich.text import Text

        width = max(self.console.width - column, CHARS_MIN)
        for line in text.wrap(self.console, width):
            line.rstrip()
            start = margin.rjust(column - GAP).ljust(column)
            self.console.print(Text.assemble((start, "bold"), line), soft_wrap=True)
            margin = ""


def print_hits(
    console: "Console",
    places: Sequence[Sequence[Hit]],
    terms: Collection[str],
    *,
    unfold: bool = False,
    explain: bool = False,
    local: bool = False,
) -> None:
    """Print hits, best first, and how many there are.

    Args:
        console: where to print.
        places: near-equal hits; the first of each place is the best.
        terms: terms of the query.
        unfold: show all hits, not only the first of each place.
        explain: show the parts of the scores.
        local: show times in the time zone of the terminal.
    """
    shown = [(place[0], len(place) - 1) for place in places]
    if unfold:
        hits = (hit for place in places for hit in place)
        shown = [(hit, 0) for hit in sorted(hits, key=lambda hit: int(hit["rank"]))]
    printer = HitPrinter(
        console,
        terms,
        rank_columns=len(str(len(shown))),
        namespaces=len({hit["namespace"] for hit, _ in shown}) > 1,
        explain=explain,
        local=local,
    )
    for rank, (hit, like_it) in enumerate(shown, 1):
        printer.print(rank, hit, like_it)
        console.print()
    folded = sum(like_it for _, like_it in shown)
    more = f"; --all shows {folded:,} more that are like them" if folded else ""
    console.print(format_count(len(shown), "result") + more)


def _head(hit: Hit, *, namespace: bool, local: bool) -> list[str]:
    """Return score, time, agent and user, session, and how its episode ended."""
    who = one_line(hit["agent"])
    if hit["user_id"]:
        who += f", user {one_line(hit['user_id'])}"
    session = f"session {one_line(hit['session_id'])}" if hit["session_id"] else ""
    if namespace:
        session += f" in {one_line(hit['namespace'])}"
    end = one_line(hit["outcome"])
    if hit["reward"] is not None:
        end += f" (reward {hit['reward']:g})"
    parts = [
        f"{hit['score']:.2f}",
        in_zone(hit["ts"], local=local).isoformat(" ", "minutes"),
        who,
        session,
        end.strip(),
        f"{hit['count']:,} times" if hit["count"] > 1 else "",
    ]
    return [part for part in parts if part]


def _in_lines(parts: Sequence[str], width: int) -> str:
    """Join parts, with line breaks between those that exceed the width."""
    from rich.cells import cell_len

    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]}  {part}"
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return "\n".join(lines)


def _parts(hit: Hit) -> str:
    """Return the parts of a score, in the order of the formula in docs/memory.md."""
    values = {name: f"{name} {hit[name]:.2f}" for name in PARTS}
    added = " + ".join(values[name] for name in PARTS[1:-1])
    return f"(3 x {values['similarity']} + {added}) x {values['decay']}"
