"""Any order of changes to files, looks and restarts, compared with a model."""

import os
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule

from sources.following.pieces import PIECE_BYTES
from sources.following.places import Place
from tests.sources.following.session_files import Watched, a_line

NAMES = st.sampled_from(["a.jsonl", "b.jsonl", "deep/c.jsonl", "deep/d.jsonl"])


class Files(RuleBasedStateMachine):
    """Files with lines of unique texts; `stood` are those that stood for 5 seconds."""

    files: Bundle[str] = Bundle("files")

    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self._away = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        (self.folder / "deep").mkdir()
        self.watched = Watched(self.folder)
        # Elsewhere a sign of the format must come within the first MiB.
        self.watched.places = [Place("claude-code", "", self.folder)]
        self.watched.start()
        self.stood: set[str] = set()
        self.written: set[str] = set()
        self.kept = b""
        self.number = 0

    def teardown(self) -> None:
        """Check that each line that stood was sent, and what was sent without doubt."""
        self.wait(10)
        self.watched.follower.settle(immediately=True)
        events = [r for r, _ in self.watched.sent if r.is_event]
        texts = self.watched.texts
        bad = [text for text in texts if text not in self.written]
        assert self.stood <= set(texts)
        # Only what is no line of ours becomes a dead letter: one cut by a truncation.
        dead = {r.value.decode() for r, _ in self.watched.sent if not r.is_event}
        assert set(bad) == dead
        assert len(texts) == len(set(texts))
        assert len({r.idempotency_key for r in events}) == len(
            {t for t in texts if t in self.written}
        )
        self.watched.follower.close()
        self._temporary.cleanup()
        self._away.cleanup()

    def line(self) -> bytes:
        """Return a line with a new text."""
        self.number += 1
        text = f"text {self.number}"
        self.written.add(text)
        return a_line(text)

    def path(self, name: str) -> Path:
        """Return the path of a file."""
        return self.folder / name

    @rule(target=files, name=NAMES, count=st.integers(1, 4))
    def append(self, name: str, count: int) -> str:
        """Append whole lines, after what may be a part of one."""
        with self.path(name).open("ab") as file:
            file.write(b"".join(self.line() for _ in range(count)))
        return name

    @rule(name=files, cut=st.integers(1, 80), later=st.booleans())
    def append_in_two(self, name: str, cut: int, later: bool) -> None:
        """Append a part of a line, and the rest of it some time later."""
        path, line = self.path(name), self.line()
        if not path.exists():
            return
        with path.open("ab") as file:
            file.write(line[:cut])
            file.flush()
            self.pass_s(1)
            file.write(line[cut:] if later else b"")

    @rule(name=files, later=st.booleans())
    def append_without_end(self, name: str, later: bool) -> None:
        """Append a line without its end, which follows some time later or not."""
        path = self.path(name)
        if not path.exists():
            return
        with path.open("ab") as file:
            file.write(self.line()[:-1])
            file.flush()
            self.pass_s(1)
            file.write(b"\n" if later else b"")

    @rule(name=NAMES, count=st.integers(1, 30))
    def begin_without_sign(self, name: str, count: int) -> None:
        """Begin a file with lines of no format."""
        if not self.path(name).exists():
            self.path(name).write_bytes(b'{"type":"summary"}\n' * count)

    @rule(name=NAMES)
    def append_much(self, name: str) -> None:
        """Append a long part of a line."""
        with self.path(name).open("ab") as file:
            file.write(b"x" * (PIECE_BYTES + 10))

    @rule()
    def move_folder(self) -> None:
        """Move a folder away until it is forgotten, and back."""
        away = Path(self._away.name, "deep")
        (self.folder / "deep").rename(away)
        self.pass_s(12)
        away.rename(self.folder / "deep")

    @rule(name=files, part=st.floats(0, 1))
    def truncate(self, name: str, part: float) -> None:
        """Cut a file anywhere."""
        path = self.path(name)
        if path.exists():
            os.truncate(path, int(path.stat().st_size * part))

    @rule(name=files)
    def keep(self, name: str) -> None:
        """Take a copy, which a later rule may write back."""
        if self.path(name).exists():
            self.kept = self.path(name).read_bytes()

    @rule(name=files, in_place=st.booleans())
    def write_back(self, name: str, in_place: bool) -> None:
        """Replace a file by an earlier copy, of itself or of another one."""
        path = self.path(name)
        if in_place:
            path.write_bytes(self.kept)
            return
        other = self.folder / "draft"
        other.write_bytes(self.kept)
        other.replace(path)

    @rule(target=files, name=consumes(files), new=NAMES)
    def rename(self, name: str, new: str) -> str:
        """Give a file another name."""
        if self.path(name).exists():
            self.path(name).replace(self.path(new))
        return new

    @rule(name=consumes(files))
    def delete(self, name: str) -> None:
        """Delete a file."""
        self.path(name).unlink(missing_ok=True)

    @rule(seconds=st.sampled_from([0.25, 0.5, 1, 2]))
    def pass_s(self, seconds: float) -> None:
        """Let some time pass."""
        self.watched.pass_s(seconds)

    @rule(seconds=st.sampled_from([5, 10]))
    def wait(self, seconds: float) -> None:
        """Let the lines that stand now stand for 5 seconds, or those without end."""
        parts = [p.read_bytes().split(b"\n") for p in self.folder.rglob("*.jsonl")]
        lines = {line for part in parts for line in part[:-1]}
        if seconds > 5:
            lines |= {part[-1] for part in parts}
        self.watched.pass_s(seconds)
        self.stood |= {t for t in self.written if a_line(t)[:-1] in lines}

    @rule()
    def save(self) -> None:
        """Store the positions."""
        self.watched.save()

    @rule()
    def kill(self) -> None:
        """Start another process, with the positions that were stored last."""
        self.watched.start()


TestFiles = Files.TestCase
