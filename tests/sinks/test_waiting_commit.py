"""A commit loop that must not commit yet waits, and shows that it does not hang."""

from pathlib import Path

import pytest

from sinks.commit_loop import CommitLoop
from tests.sinks.archive_builder import Archive
from tests.support.builders import decoded_rows


def test_a_loop_that_waits_for_permission_gives_a_sign_of_life_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path)
    archive.tables.take_over()
    answers, beats, waits = iter([False, False, True]), list[bool](), list[float]()
    monkeypatch.setattr(archive.tables, "may_commit", lambda: next(answers))
    monkeypatch.setattr(archive.tables, "beat", lambda *, last: beats.append(last))
    loop = CommitLoop(archive.tables.settings, archive.tables, wait=waits.append)
    loop.add(decoded_rows([(0, 0)], [], {0: 0}, last=True))
    assert archive.stored() == [(0, 0)]
    assert len(waits) == 2
    assert beats == [False, False, True]
