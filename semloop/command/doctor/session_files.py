"""Session files check: whether a coding agent deletes its history."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from semloop.command.doctor import Finding, Skipped, ok, warn
from semloop.command.doctor.context import CheckContext

CHECK = "session files"
SETTING = "cleanupPeriodDays"
# What Claude Code does without the setting.
DAYS_DEFAULT = 30
# From here on the files count as kept.
DAYS_ENOUGH = 365


class _Settings(msgspec.Struct, rename={"days": SETTING}):
    days: float = DAYS_DEFAULT


def check(_: CheckContext) -> Iterator[Finding]:
    """Read the setting of Claude Code; no session file is read."""
    folder = Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")
    if not any((folder / "projects").glob("*/*.jsonl")):
        msg = "There are no session files of Claude Code."
        raise Skipped(msg, "Nothing to do.")
    path = folder / "settings.json"
    try:
        days = msgspec.json.decode(path.read_bytes(), type=_Settings).days
    except FileNotFoundError:
        days = DAYS_DEFAULT
    except (OSError, msgspec.MsgspecError, UnicodeError):
        todo = f"Check {SETTING} in it: by default files are deleted after 30 days."
        yield warn(CHECK, f"{path} cannot be read", todo)
        return
    found = f"Claude Code deletes session files after {days:g} days"
    if days >= DAYS_ENOUGH:
        yield ok(CHECK, found)
    else:
        todo = f"Run `semloop watch` before, or raise {SETTING} in {path}"
        yield warn(CHECK, f"{found} ({SETTING})", f"{todo}, to 3650 for example.")
