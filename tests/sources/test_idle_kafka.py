"""A reader without new records, on the test session's broker."""

from semloop.kafka.topic import Topic
from semloop.settings import Settings
from tests.sources.topic_reader import BEGINNING, read_to_end, reading, send, table_of
from tests.support.services import wait_for


def test_an_idle_partition_reports_its_end_again_and_loses_no_record(
    settings: Settings, topic: Topic
) -> None:
    short_pause = settings.replace(idle_commit_s=0.5)
    send(settings, 3, partition=1)
    times: list[int] = []
    with reading(short_pause, topic, BEGINNING) as reader:
        polls = read_to_end(reader)

        def polled_eight_ends() -> bool:
            polls.append(reader.poll())
            times.extend(polls[-1].progress.caught_up_ms.values())
            return len(times) >= 8

        wait_for("ends of all partitions, twice", polled_eight_ends)
        send(settings, 2, partition=1)
        wait_for(
            "new records",
            lambda: polls.append(reader.poll()) or table_of(polls).num_rows == 5,  # type: ignore[func-returns-value]
        )
    assert times == sorted(times)
    assert times[-1] > times[0]
    assert table_of(polls)["kafka_offset"].to_pylist() == [0, 1, 2, 3, 4]
