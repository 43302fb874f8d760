"""The embedder of `reindex` and its stored positions."""

import pytest

from flows import reindex_worker as module
from sources.lake import rounds
from tests.flows.reindex_lake import CountingEmbedder


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> CountingEmbedder:
    """The embedder that `reindex` uses in this test."""
    counting = CountingEmbedder()
    monkeypatch.setattr(module, "embedder_of", lambda settings: counting)
    return counting


@pytest.fixture
def every_position_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store the position after each poll."""
    monkeypatch.setattr(rounds, "SAVE_EVERY_S", 0.0)
