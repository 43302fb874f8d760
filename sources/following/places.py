"""Where coding agents keep the files of their sessions."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with session files.

    Args:
        name: of the tool, as in the answers that are remembered.
        title: of the tool, for people.
        folder: searched with all folders below it.
        files: pattern of the names of its files.
    """

    name: str
    title: str
    folder: Path
    files: str = "*.jsonl"

    def matches(self, name: str) -> bool:
        """Whether a file with this name is followed."""
        return fnmatchcase(name, self.files)


def place_of(folder: str) -> Place:
    """Return a folder that the user names."""
    # Absolute, since marks have digests of paths.
    return Place("", folder, Path(folder).absolute())


def default_places(environ: Mapping[str, str], home: Path) -> list[Place]:
    """Return where tools keep their sessions by default, whether it exists or not."""
    claude = environ.get("CLAUDE_CONFIG_DIR")
    folders = [Path(claude)] if claude else [home / ".claude", home / ".config/claude"]
    codex = Path(environ.get("CODEX_HOME") or home / ".codex")
    return [
        *(Place("claude-code", "Claude Code", f / "projects") for f in folders),
        Place("codex", "Codex", codex / "sessions", "rollout-*.jsonl"),
        Place("codex", "Codex", codex / "archived_sessions", "rollout-*.jsonl"),
    ]
