"""Texts without a usable vector, and vectors of another model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from schemas.metrics import Metrics
from semloop.errors import LakeError, SkipReason, UnusableAnswer
from tests.operators.event_rows import event_row, events_table
from tests.sinks.memory_process import (
    HASHING,
    MemoryProcess,
    lake_settings,
    visible_memories,
)

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors


class FaultyEmbedder:
    """Returns no usable vector for texts that contain "bad"."""

    model_id = HASHING.model_id
    dimension = HASHING.dimension
    semantic = False

    def __init__(self, reason: SkipReason) -> None:
        self._reason: SkipReason = reason

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return HASHING.token_counts(texts)

    def embed(self, texts: Sequence[str]) -> "Vectors":
        vectors = HASHING.embed(texts)
        if any("bad" in text for text in texts):
            if self._reason == "nan":
                vectors[["bad" in text for text in texts]] = np.nan
            elif self._reason == "dimension":
                return vectors[:, :-1]
            else:
                msg = "It took too long."
                raise UnusableAnswer(msg, reason=self._reason)
        return vectors


@pytest.mark.parametrize("reason", ["nan", "dimension", "timeout"])
def test_a_text_without_a_vector_is_skipped_and_counted(
    tmp_path: Path, reason: SkipReason
) -> None:
    settings = lake_settings(tmp_path)
    stream = events_table(
        event_row(text="good"), event_row(text="bad"), event_row(text="fine")
    )
    process = MemoryProcess(settings, FaultyEmbedder(reason))
    assert process.read(stream, 3, None)
    assert [text for _, _, text in visible_memories(settings)] == ["good", "fine"]
    counted = _skipped(process.metrics, reason)
    assert counted == 1


def _skipped(metrics: Metrics, reason: str) -> float:
    return metrics.value("semloop_not_remembered_total", flow="memory", reason=reason)


def test_another_model_is_rejected(tmp_path: Path) -> None:
    settings = lake_settings(tmp_path)
    MemoryProcess(settings)

    class Other(FaultyEmbedder):
        model_id = "other"

    with pytest.raises(LakeError, match=r"other.*\n.*maintain reindex"):
        MemoryProcess(settings, Other("nan"))
