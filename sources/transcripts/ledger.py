"""What became of each unit of the input: an event, kept in one, or left out and why.

A unit is the smallest thing that the input tells: a message, a part of its content, a
tool call, a result, a span. Each is counted once when it is met and once when it is
processed, in different places of the code, so that a unit that a reader forgets shows.
"""

from collections import Counter
from dataclasses import dataclass, field

# Roles that are counted by their words, and characters of each.
ROLES_MAX, NAME_CHARS_MAX = 20, 40


@dataclass(slots=True)
class Ledger:
    """Counts of units; `made` counts events by type, which may have several units."""

    met: int = 0
    events: int = 0
    kept: int = 0
    unreadable: int = 0
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    # Numbers and bytes of values that no reader understands; they become dead letters.
    refused: list[tuple[int, bytes]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    # Lines about a file that are printed as they are.
    remarks: list[str] = field(default_factory=list)
    # Messages by a role that no reader knows, which are taken for those of a user.
    unknown_roles: Counter[str] = field(default_factory=Counter)

    def leave_out(self, kind: str, reason: str, units: int = 1) -> None:
        """Process units that become no event, with a reason that tells no content."""
        self.left_out[kind, reason] += units

    @property
    def left(self) -> int:
        """Number of units that were left out."""
        return self.left_out.total()

    @property
    def processed(self) -> int:
        """Number of units whose end is known."""
        return self.events + self.kept + self.unreadable + self.left

    def add(self, other: "Ledger") -> None:
        """Add the counts of a value that was read with a ledger of its own."""
        self.met += other.met
        self.events += other.events
        self.kept += other.kept
        self.unreadable += other.unreadable
        self.left_out.update(other.left_out)
        self.made.update(other.made)
        self.notes.update(other.notes)
        self.remarks += other.remarks
        for role, count in other.unknown_roles.items():
            self.note_role(role, count)

    def note_role(self, name: str, count: int = 1) -> None:
        """Count messages of an unknown role."""
        known = name in self.unknown_roles or len(self.unknown_roles) < ROLES_MAX
        self.unknown_roles[name[:NAME_CHARS_MAX] if known else "other"] += count

    def leave_out_empty(self, met: int) -> None:
        """Count a value without any unit; `met`: units before it."""
        if self.met == met:
            self.met += 1
            self.leave_out("value", "is empty")

    def settle(self, waiting: int) -> None:
        """Settle the units of a value that was read in part; its events stay.

        Args:
            waiting: events that are still to be made.
        """
        units = self.met - self.processed - waiting
        if units < 0:
            self.met -= units
        elif units:
            self.leave_out("unit", "is in a value that is nested too deeply", units)

    def check(self) -> None:
        """Assert that each unit was processed exactly once."""
        # Our own mistake, with any content of the file.
        assert self.met == self.processed, (
            f"{self.met} units, {self.processed} processed"
        )
