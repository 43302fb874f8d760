"""`status` and `health` report events with another key than their session."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from semloop.command.cli.health_report import health
from semloop.command.cli.status_report import status as status_of
from semloop.settings import Settings
from tests.sinks.archive_builder import Archive
from tests.support.builders import decoded_rows


def lake_with(
    path: Path, misrouted: Mapping[int, int], repeated: Mapping[int, int]
) -> Settings:
    archive = Archive(path, kafka="127.0.0.1:1").started()
    rows = decoded_rows([(0, 0), (1, 0)], [], {0: 0, 1: 0}, last=True)
    archive.loop.add(replace(rows, misrouted=misrouted, repeated=repeated))
    return archive.settings


def test_health_notes_misrouted_and_repeated_events_without_failing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = lake_with(tmp_path, {0: 38, 1: 2}, {1: 20})
    found = health(settings)
    assert found["flows"]["ok"]
    notes = [c["todo"] for c in found["flows"]["checks"] if c["code"] == "flow.keys"]
    assert notes[0].startswith("40 events had another key than their session")
    assert notes[1].startswith("20 events had an id that another partition had")
    flow = status_of(settings)["flows"]["archive"]
    assert (flow["misrouted"], flow["repeated"]) == (40, 20)


def test_health_has_no_note_about_keys_that_are_as_expected(tmp_path: Path) -> None:
    found = health(lake_with(tmp_path, {}, {}))
    assert not any(c["code"] == "flow.keys" for c in found["flows"]["checks"])
