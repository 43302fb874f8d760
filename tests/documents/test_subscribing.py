"""The example of docs/subscribing.md on the topic that the flow produces to."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from semloop.kafka import published_topics
from semloop.settings import Settings
from tests.flows.flow_runner import produce, run_archive
from tests.sinks.published import publishing
from tests.support.builders import an_event
from tests.support.documents import SUBSCRIBING, blocks
from tests.support.in_process import run_flow

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("topic")]


def test_the_subscriber_prints_what_agents_did(
    settings: Settings, tmp_path: Path
) -> None:
    settings = publishing(settings, "metrics")
    published_topics.ensure(settings)
    now = datetime.now(UTC)
    for used in (0.25, 0.5):
        events = [
            an_event(
                agent="travel",
                timestamp=now.isoformat(),
                meta={"session_id": "s", "credits_used": used},
            )
            for _ in range(2)
        ]
        produce(settings, events)
        run_archive(settings)
        run_flow(settings, "metrics")
    (block,) = blocks(SUBSCRIBING)
    names = {"semloop.metrics": f"{settings.publish.prefix}metrics"}
    (tmp_path / block.file).write_text(block.replaced(names).text)
    command = [sys.executable, block.file, str(settings.kafka)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as subscriber:
        try:
            assert subscriber.stdout is not None
            lines = [subscriber.stdout.readline().split() for _ in range(2)]
        finally:
            subscriber.kill()
    minute = f"{now:%Y-%m-%dT%H:%M:00Z}"
    assert lines == [
        [minute, "travel", "2", "0.5"],
        [minute, "travel", "4", "1.5"],
    ]
