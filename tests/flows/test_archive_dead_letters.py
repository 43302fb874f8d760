"""Which records become dead letters, in the whole flow."""

from typing import NoReturn

import pytest

from semloop.errors import StorageUnavailable
from semloop.kafka.topic import Topic
from semloop.lake.lake import Lake
from semloop.settings import Settings
from sinks import archive_tables
from tests.support.builders import an_event, raw
from tests.support.in_process import run_flow
from tests.support.prompt_producer import prompt_producer


def test_a_record_with_a_dead_letter_does_not_hide_a_later_event_with_its_id(
    settings: Settings, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> NoReturn:
        msg = "The store failed."
        raise StorageUnavailable(msg, "Start again.")

    event = an_event()
    producer = prompt_producer(settings)
    producer.produce(settings.topic, key="s-1", value=raw(event))
    assert producer.flush(60) == 0
    with monkeypatch.context() as patch:
        # The dead letter of the too large record is stored, its offset is not.
        patch.setattr(archive_tables, "commit_events", fail)
        with pytest.raises(StorageUnavailable):
            run_flow(settings.replace(record_bytes_max=10))
    producer.produce(settings.topic, key="s-1", value=raw(event))
    assert producer.flush(60) == 0
    # With another bound the first record would be valid, too.
    run_flow(settings)
    query = "SELECT kafka_offset FROM {}"
    with Lake(settings.lake) as lake:
        assert lake.sql(query.format("dead_letters")).fetchall() == [(0,)]
        assert lake.sql(query.format("events")).fetchall() == [(1,)]


def test_pseudonyms_do_not_make_a_record_too_large(
    settings: Settings, topic: Topic
) -> None:
    content = " ".join(f"a{n}@b.io" for n in range(1_000))
    event = raw(an_event("message", payload={"role": "user", "content": content}))
    producer = prompt_producer(settings)
    producer.produce(settings.topic, key="s-1", value=event)
    assert producer.flush(60) == 0
    run_flow(settings.replace(record_bytes_max=len(event)))
    with Lake(settings.lake) as lake:
        (row,) = lake.sql("SELECT text, length(payload) FROM events").fetchall()
        assert lake.sql("FROM dead_letters").fetchall() == []
    assert "a7@b.io" not in row[0]
    assert row[1] > len(event)
