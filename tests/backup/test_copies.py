"""Copies that are made under load, by each way that docs/backup.md shows."""

import random
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from semloop.kafka.topic import TopicAdmin
from semloop.settings import LOCAL_FOLDER, Secret, Settings
from semloop.storage.key_file import own_keys
from semloop.storage.location import Storage
from tests.backup.loaded_lake import assert_continues, check, load
from tests.backup.scripts import copy
from tests.flows.flow_runner import each_once
from tests.support.stores import BUCKET

EVENTS, SECONDS = 3_000, 3.0
ROUNDS = 10


@dataclass(frozen=True)
class Way:
    """A tool, and whether it copies to S3."""

    tool: str
    to_s3: bool = False

    def place(self, folder: Path) -> str:
        name = f"{self.tool} {uuid.uuid4().hex[:8]}"
        if self.to_s3:
            return f"s3://{BUCKET}/{name.replace(' ', '-')}"
        return str(folder / name)


FROM_FOLDER = (Way("cp"), Way("rsync"), Way("rclone"))
FROM_S3 = (Way("aws"), Way("rclone"), Way("aws", to_s3=True), Way("rclone", to_s3=True))
TO_S3 = (Way("aws", to_s3=True), Way("rclone", to_s3=True))


def opened(settings: Settings, place: str) -> Settings:
    """Return the settings of a copy, to which the key of the original was given."""
    key = settings.redaction.key or own_keys(Storage.of(settings))[0]
    moved = settings.replace(lake=place, embedder="hashing")
    if place.startswith("s3://"):
        return moved.replace(redaction_key=Secret(key.reveal()))
    local = Path(place, LOCAL_FOLDER)
    local.mkdir(mode=0o700)
    (local / "redaction.key").write_text(key.reveal())
    return moved.replace(redaction_key=None)


def audit(
    settings: Settings,
    ways: tuple[Way, ...],
    folder: Path,
    rounds: int,
    continued: int,
) -> None:
    """Copy under load at random moments; check all copies, and continue the last ones.

    Args:
        settings: of the lake.
        ways: each copies once a round.
        folder: for copies.
        rounds: how often.
        continued: number of copies in which flows continue.
    """
    places: list[str] = []
    count = rounds * len(ways)
    with load(settings, count * EVENTS, count * SECONDS) as producing:
        for way in ways * rounds:
            time.sleep(random.uniform(0, SECONDS / 2))  # the moment is the test
            places.append(way.place(folder))
            copy(way.tool, settings.lake, places[-1])
    produced = each_once({TopicAdmin(settings).describe().topic_id: producing.origins})
    copies = [opened(settings, place) for place in places]
    for moved in copies:
        code, output = check(moved)
        assert (code, "warn 0, FAIL 0" in output) == (0, True), (moved.lake, output)
    for moved in copies[-continued:]:
        assert_continues(moved, produced)


def test_copies_of_a_folder_under_load_are_complete_and_continue(
    settings: Settings, tmp_path: Path
) -> None:
    audit(settings, FROM_FOLDER[::-1], tmp_path, rounds=1, continued=1)


@pytest.mark.storm
def test_a_copy_of_a_lake_on_s3_under_load_is_complete_and_continues(
    s3_settings: Settings, tmp_path: Path
) -> None:
    audit(s3_settings, FROM_S3[:1], tmp_path, rounds=1, continued=1)


@pytest.mark.storm
@pytest.mark.timeout(3600)
def test_many_copies_of_a_folder_under_load(
    settings: Settings, s3_settings: Settings, tmp_path: Path
) -> None:
    ways = (*FROM_FOLDER, *TO_S3)
    audit(settings, ways, tmp_path, ROUNDS, continued=2 * len(ways))


@pytest.mark.storm
@pytest.mark.timeout(3600)
def test_many_copies_of_a_lake_on_s3_under_load(
    s3_settings: Settings, tmp_path: Path
) -> None:
    audit(s3_settings, FROM_S3, tmp_path, ROUNDS, continued=2 * len(FROM_S3))
