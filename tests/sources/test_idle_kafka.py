"""A reader with nothing to read, on the run's broker."""

from semloop.kafka.topic import Topic
from semloop.settings import Settings
from tests.services import wait_for
from tests.sources.test_kafka import BEGINNING, reading, send, table_of, to_the_end


def test_an_idle_partition_is_caught_up_anew_and_loses_nothing(
    settings: Settings, topic: Topic
) -> None:
    often = settings.replace(idle_commit_s=0.5)
    send(settings, 3, partition=1)
    times: list[int] = []
    with reading(often, topic, BEGINNING) as reader:
        polls = to_the_end(reader)

        def again() -> bool:
            polls.append(reader.poll())
            times.extend(polls[-1].progress.caught_up_ms.values())
            return len(times) >= 8

        wait_for("ends of all partitions, twice", again)
        send(settings, 2, partition=1)
        wait_for(
            "new records",
            lambda: polls.append(reader.poll()) or table_of(polls).num_rows == 5,  # type: ignore[func-returns-value]
        )
    assert times == sorted(times)
    assert times[-1] > times[0]
    assert table_of(polls)["kafka_offset"].to_pylist() == [0, 1, 2, 3, 4]
