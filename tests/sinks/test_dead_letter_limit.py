"""`dead_letters_max_ratio`: what is counted, and that a stop stores nothing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.delta.streams import Partition
from semloop.errors import TooManyDeadLetters
from semloop.progress.activity import files_of, read_flow
from semloop.settings import load
from semloop.settings.sections import ArchiveSettings
from sinks.dead_letter_limit import DeadLetterLimit
from tests.sinks.archive_builder import Archive, named
from tests.support.builders import decoded_rows

OWNED = [Partition("topic-1", 0), Partition("topic-1", 1)]
WINDOW_S, LEAST, RATIO = 100.0, 20, 0.4
SETTINGS = ArchiveSettings(
    dead_letters_max_ratio=RATIO,
    dead_letters_window_s=WINDOW_S,
    dead_letters_records_min=LEAST,
)
# What a stored number may be off by, since it is cut to thousandths at each commit.
ERROR = 1.0


@dataclass(frozen=True)
class Commit:
    """Rows of one commit, of one partition, after a pause; `restarts`: before it."""

    pause_s: float
    partition: int
    good: int
    bad: int
    restarts: bool

    def rows(self) -> tuple[pa.Table, pa.Table]:
        good = [(self.partition, offset) for offset in range(self.good)]
        bad = [(self.partition, offset) for offset in range(self.bad)]
        decoded = decoded_rows(good, bad, {})
        batches = ([decoded.events], [decoded.dead_letters])
        events, dead = map(pa.Table.from_batches, batches)
        return events, dead


@dataclass
class Run:
    """A limit with a clock, and the numbers that its commits have stored."""

    accepts: bool = False
    now_s: float = 0.0
    stored: dict[tuple[Partition, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        clock = lambda: self.now_s  # noqa: E731
        self.limit = DeadLetterLimit(SETTINGS, accepts=self.accepts, clock=clock)
        self.limit.load(
            lambda partition, kind: self.stored.get((partition, kind)), OWNED
        )

    def commit(self, commit: Commit) -> bool:
        """Commit; return False if the limit refuses."""
        if commit.restarts:
            self.now_s += 10 * WINDOW_S  # nothing runs meanwhile
            self.restart()
        self.now_s += commit.pause_s
        events, dead = commit.rows()
        try:
            self.limit.check(events, dead, frozenset())
        except TooManyDeadLetters:  # the process ends
            self.restart()
            return False
        self.stored |= self.limit.add(events, dead, frozenset())
        return True


COMMITS = st.lists(
    st.builds(
        Commit,
        pause_s=st.floats(0, 60),
        partition=st.sampled_from([0, 1]),
        good=st.integers(0, 15),
        bad=st.integers(0, 15),
        restarts=st.booleans(),
    ),
    max_size=25,
)


def expected(stored: Sequence[tuple[float, Commit]], commit: Commit) -> str:
    """Return `stops` or `passes`; empty where rounding decides."""
    weights = [math.exp(-age_s / WINDOW_S) for age_s, _ in stored]
    bad = commit.bad + sum(w * c.bad for w, (_, c) in zip(weights, stored, strict=True))
    good = commit.good + sum(
        w * c.good for w, (_, c) in zip(weights, stored, strict=True)
    )
    over, enough = bad - RATIO * (good + bad), good + bad - LEAST
    if not commit.bad > RATIO * (commit.good + commit.bad):
        return "passes"
    if min(over, enough) < -ERROR:
        return "passes"
    return "stops" if min(over, enough) > ERROR else ""


@given(commits=COMMITS)
def test_the_limit_is_that_of_all_commits_weighted_by_age_across_restarts(
    commits: list[Commit],
) -> None:
    run = Run()
    stored: list[tuple[float, Commit]] = []
    for commit in commits:
        aged = [(age_s + commit.pause_s, one) for age_s, one in stored]
        judged = expected(aged, commit)
        passes = run.commit(commit)
        if judged:
            assert passes == (judged == "passes"), (aged, commit)
        if passes:
            stored = [*aged, (0.0, commit)]


@given(commits=COMMITS)
def test_a_limit_that_accepts_never_stops_and_leaves_no_counts(
    commits: list[Commit],
) -> None:
    run = Run()
    for commit in commits:
        run.commit(commit)
    run.accepts = True
    all_bad = Commit(0, 0, 0, 10 * LEAST, restarts=True)
    assert run.commit(all_bad)
    assert set(run.stored.values()) <= {0}
    run.accepts = False
    few = Commit(0, 0, 0, LEAST - 1, restarts=True)
    assert [run.commit(few), run.commit(replace(few, restarts=False))] == [True, False]


def test_the_limit_is_off_by_default() -> None:
    limit = DeadLetterLimit(load({}).archive)
    limit.load(lambda *_: None, OWNED)
    events, dead = Commit(0, 0, 0, 1_000, restarts=False).rows()
    limit.check(events, dead, frozenset())
    assert limit.add(events, dead, frozenset()) == {}


def archive(lake: Path, *, accepts: bool = False) -> Archive:
    writer = Archive(
        lake,
        accepts_dead_letters=accepts,
        dead_letters_max_ratio=0.5,
        dead_letters_records_min=4,
    )
    writer.started()
    writer.tables.report_activity(0, OWNED)
    return writer


def stops(lake: Path) -> Sequence[str]:
    (activity,) = read_flow(Archive(lake).storage, files_of("archive", "agent-events"))
    return activity.stopped


def test_a_stop_stores_nothing_and_a_restart_judges_the_same_records_again(
    tmp_path: Path,
) -> None:
    before = archive(tmp_path)
    before.loop.add(decoded_rows([(0, 0)], [(0, 1)], {0: 1}, last=True))
    versions = (before.version(), before.version("dead_letters"))
    bad = decoded_rows([(0, 2)], [(0, 3), (0, 4), (0, 5)], {0: 5}, last=True)
    for _ in range(2):
        with pytest.raises(TooManyDeadLetters) as stopped:
            before.loop.add(bad)
        assert (before.version(), before.version("dead_letters")) == versions
        assert "67% would become dead letters" in stopped.value.what
        assert "reason not_json, for example offset 3 of partition 0" in str(
            stopped.value
        )
        assert stops(tmp_path) == [stopped.value.what, stopped.value.todo]
        before = archive(tmp_path)
        versions = (before.version(), before.version("dead_letters"))
    after = archive(tmp_path, accepts=True)
    after.loop.add(bad)
    assert after.stored() == [(0, 0), (0, 2)]
    assert after.stored("dead_letters") == [(0, 1), (0, 3), (0, 4), (0, 5)]
    assert stops(tmp_path) == []


def test_records_that_were_sent_again_on_purpose_do_not_count(tmp_path: Path) -> None:
    writer = archive(tmp_path)
    letters: Mapping[int, tuple[int, int]] = {n: (0, n) for n in range(5)}
    ids = [f"0000000{n}-0000-4000-8000-000000000000" for n in letters]
    decoded = decoded_rows([], list(letters.values()), {0: 4}, last=True)
    writer.loop.add(named(decoded, *ids))
    assert len(writer.stored("dead_letters")) == 5
