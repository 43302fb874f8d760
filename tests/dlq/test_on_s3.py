"""`semloop dlq` on a lake in a bucket."""

from pathlib import Path

import pytest

from semloop.settings import Settings
from tests.cli.helpers import Semloop
from tests.dlq.letters import Letters, broken
from tests.support.builders import an_event


def test_dead_letters_of_a_lake_on_s3_are_shown_replayed_and_resolved(
    s3_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SEMLOOP_LAKE", s3_settings.lake)
    monkeypatch.setenv("SEMLOOP_KAFKA", str(s3_settings.kafka))
    monkeypatch.setenv("SEMLOOP_TOPIC", s3_settings.topic)
    letters = Letters(s3_settings, Semloop(capsys))
    letters.produce(b"not json", broken(an_event("message")))
    (letter,) = letters.listed("--reason", "not_json")
    assert letter["id"][:13] in letters.semloop("dlq", "ls")
    assert "not json" in letters.semloop("dlq", "show", letter["id"])
    letters.semloop("dlq", "resolve", letter["id"])
    letters.semloop("dlq", "replay", *letters.transform(tmp_path))
    letters.archive()
    assert letters.states() == {"resolved": 2}
