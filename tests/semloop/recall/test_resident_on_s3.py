"""Memories of a lake on S3 are held in memory, too, and followed."""

import pytest

from semloop.settings import Settings
from tests.semloop.recall.a_memory_lake import MemoryLake, a_message, texts
from tests.semloop.recall.two_engines import two_engines

pytestmark = pytest.mark.server


def test_memories_on_s3_are_followed_in_memory(s3_settings: Settings) -> None:
    lake = MemoryLake(s3_settings.replace(embedder="hashing"))
    lake.remember(*(a_message(f"trip {n}", f"e{n}") for n in range(20)))
    lake.commit()
    with two_engines(lake.settings) as engines:
        assert texts(engines.same("trip 7"))[0] == "trip 7"
        lake.remember(a_message("a flight", "f"))
        lake.commit()
        assert texts(engines.same("a flight"))[0] == "a flight"
