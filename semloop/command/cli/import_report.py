"""What `semloop import` prints: the ledger, a dry run, and what `archive` stored."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from semloop.command.terminal.figures import format_count
from semloop.command.terminal.printing import say

if TYPE_CHECKING:
    from schemas.lines import Record
    from sources.transcripts.ledger import Ledger

# Reasons listed in one line; a script reads the dead letters and the exit code.
REASONS_MAX = 12
SHOWN_CHARS_MAX = 200
# Files that are named in one line.
PATHS_MAX = 10


def ledger_lines(ledger: "Ledger") -> list[str]:
    """Return the sum over all units of the input, and the reasons of those left out."""
    # What `archive` refuses of them is reported afterwards.
    parts = [f"{format_count(ledger.events, 'event')} to store"]
    if ledger.kept:
        parts.append(f"{ledger.kept:,} kept inside others")
    if ledger.unreadable:
        parts.append(f"{ledger.unreadable:,} that become dead letters")
    if ledger.left:
        parts.append(f"{ledger.left:,} left out")
    text = f"{format_count(ledger.met, 'unit')} of the input: {', '.join(parts)}"
    reasons = [
        f"{count:,} {kind} {reason}"
        for (kind, reason), count in ledger.left_out.most_common(REASONS_MAX)
    ]
    more = len(ledger.left_out) - REASONS_MAX
    if more > 0:
        reasons.append(f"{more} other reasons")
    lines = [f"{text}: {'; '.join(reasons)}." if reasons else f"{text}."]
    lines += [
        f"{count:,} {'session' if count == 1 else 'sessions'} {what}."
        for what, count in ledger.notes.items()
    ]
    lines += [
        f"{format_count(count, 'message')} of the unknown role {role!r}: stored with"
        " the role 'user', and the word under `source`."
        for role, count in ledger.unknown_roles.most_common()
    ]
    return [*lines, *ledger.remarks]


def skipped_lines(
    paths: Sequence[str], why: str = "skipped, by the end of their names"
) -> list[str]:
    """Return a line that names files of which nothing was imported, and says why."""
    if not paths:
        return []
    listed = ", ".join(repr(path) for path in paths[:PATHS_MAX])
    more = len(paths) - PATHS_MAX
    if more > 0:
        listed += f" and {more:,} more"
    return [f"{format_count(len(paths), 'file')} {why}: {listed}."]


def say_dry_run(ledger: "Ledger", first: "Iterable[Record]") -> None:
    """Print what an import would make, and its first events."""
    made = ", ".join(
        f"{count:,} {kind}" for kind, count in sorted((+ledger.made).items())
    )
    say(f"Would make: {made or 'no events'}.")
    for line in ledger_lines(ledger):
        say(line)
    for record in first:
        event = msgspec.json.decode(record.value)
        meta, payload = event["meta"], msgspec.json.encode(event["payload"]).decode()
        head = f"{event['timestamp']} {event['type']} {event['agent']}"
        text = payload[:SHOWN_CHARS_MAX]
        say(f"  {head} {meta['session_id']}: {text}")
