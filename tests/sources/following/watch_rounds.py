"""Rounds of changes to session files while `semloop watch` is killed and started.

A line must become an event if it stood for 5 seconds while one watcher lived; no line
may become two events, in any of these cases.
"""

import os
import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.sources.following.session_files import a_line
from tests.support.in_process import run_flow
from tests.support.processes import start

STOOD_S = 5.0
NAMES = [f"{folder}/{n}.jsonl" for folder in ("a", "b/c") for n in range(6)]


@dataclass
class Line:
    """A line that was written, and since when it is there; `text` is unique."""

    text: str
    data: bytes
    since_s: float


@dataclass
class Rounds:
    """The files, a model of their lines, and the watcher.

    Attributes:
        must: texts of lines that stood long enough.
        kills: how often the watcher was killed.
    """

    settings: Settings
    folder: Path
    random: random.Random
    must: set[str] = field(default_factory=set)
    lines: dict[str, list[Line]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    ids: list[int] = field(default_factory=lambda: [0])
    watcher: subprocess.Popen[str] | None = None
    lives_s: float = 0.0

    def start(self) -> None:
        """Start a watcher, and wait until it says what it follows."""
        for name in NAMES:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        self.watcher = start(self.settings, "watch", str(self.folder))
        assert self.watcher.stdout is not None
        while "Ctrl-C" not in (line := self.watcher.stdout.readline()):
            assert line, self.watcher.stderr and self.watcher.stderr.read()
        self.lives_s = time.monotonic()

    def kill(self) -> None:
        """Kill the watcher, after noting what it must have read."""
        self.note()
        assert self.watcher is not None
        self.watcher.kill()
        self.watcher.communicate()
        self.done["kill"] += 1

    def note(self) -> None:
        """Note the lines that have stood for long enough."""
        for lines in self.lines.values():
            for line in lines:
                self._note(line)

    def _note(self, line: Line) -> None:
        if time.monotonic() - max(line.since_s, self.lives_s) >= STOOD_S:
            self.must.add(line.text)

    def round(self) -> None:
        """Change one file."""
        name = self.random.choice(NAMES)
        choices = {
            self.append: 60, self.truncate: 8, self.move: 8, self.delete: 8,
            self.replace: 8,
        }  # fmt: skip
        (change,) = self.random.choices(list(choices), list(choices.values()))
        change(name)
        self.done[change.__name__] += 1

    def append(self, name: str) -> None:
        """Append some lines, the last one perhaps in two steps."""
        new = [self._line() for _ in range(self.random.randint(1, 5))]
        data = b"".join(line.data for line in new)
        cut = self.random.choice([0, self.random.randint(1, len(data))])
        with (self.folder / name).open("ab", buffering=0) as file:
            if cut:
                file.write(data[:cut])
                time.sleep(self.random.random() / 5)
            file.write(data[cut:])
        for line in new:
            line.since_s = time.monotonic()
        self.lines.setdefault(name, []).extend(new)

    def truncate(self, name: str) -> None:
        """Cut a file at its beginning, or at the end of a line."""
        lines = self.lines.get(name)
        if not lines:
            return
        kept = self.random.choice([0, self.random.randint(0, len(lines))])
        self._forget(lines[kept:])
        self.lines[name] = lines[:kept]
        os.truncate(self.folder / name, sum(len(line.data) for line in lines[:kept]))

    def move(self, name: str) -> None:
        """Rename a file; one that has the new name is replaced."""
        new = self.random.choice(NAMES)
        if new == name or name not in self.lines:
            return
        self._forget(self.lines.get(new, []))
        self.lines[new] = self.lines.pop(name)
        (self.folder / name).replace(self.folder / new)

    def delete(self, name: str) -> None:
        """Delete a file."""
        self._forget(self.lines.pop(name, []))
        (self.folder / name).unlink(missing_ok=True)

    def replace(self, name: str) -> None:
        """Write the lines of a file again, as another file, or with more lines."""
        old = self.lines.get(name, [])
        more = [self._line() for _ in range(self.random.randint(0, 2))]
        draft = self.folder / "draft"
        draft.write_bytes(b"".join(line.data for line in [*old, *more]))
        self.note()
        draft.replace(self.folder / name)
        now_s = time.monotonic()
        self.lines[name] = [replace(line, since_s=now_s) for line in [*old, *more]]

    def _forget(self, lines: list[Line]) -> None:
        for line in lines:
            self._note(line)

    def _line(self) -> Line:
        self.ids[0] += 1
        text = f"text {self.ids[0]}"
        session = f"session {self.ids[0] % 5}"
        return Line(text, a_line(text, session, at=datetime.now(UTC)), 0.0)

    def run(self, rounds: int, kill_every: int) -> "Audit":
        """Do some rounds; kill the watcher after a random number of them."""
        self.start()
        left = kill_every
        for _ in range(rounds):
            self.round()
            time.sleep(self.random.random() / 2)
            left -= 1
            if left <= 0:
                self.kill()
                left = self.random.randint(1, 2 * kill_every)
                self.start()
        time.sleep(STOOD_S + 1)
        self.note()
        assert self.watcher is not None
        self.watcher.terminate()
        out, err = self.watcher.communicate(timeout=60)
        assert self.watcher.returncode == 0, out + err
        return self.audit()

    def audit(self) -> "Audit":
        """Let `archive` store everything, and compare."""
        few = replace_dedupe(self.settings)
        run_flow(few)
        with Lake(settings=few) as lake:
            rows = lake.sql("SELECT text FROM events").fetchall()
            letters = lake.sql("SELECT count(*) FROM dead_letters").fetchall()
        found = Counter(text for (text,) in rows)
        twice = [text for text, count in found.items() if count > 1]
        lost = [text for text in self.must if text not in found]
        written = {f"text {n + 1}" for n in range(self.ids[0])}
        unknown = [text for text in found if text not in written]
        letters_ = int(letters[0][0])
        return Audit(len(written), len(self.must), lost, twice, unknown, letters_)


@dataclass
class Audit:
    """What was written, what had to be stored, and what is wrong."""

    written: int
    must: int
    lost: list[str]
    twice: list[str]
    unknown: list[str]
    dead_letters: int


def replace_dedupe(settings: Settings) -> Settings:
    """Return settings with a small window: repetitions must bear the header."""
    from msgspec.structs import replace as changed

    archive = changed(settings.archive, dedupe_ids=1_000)
    return changed(settings, archive=archive)
