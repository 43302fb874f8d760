"""`archive` stops before it stores too many dead letters."""

from collections.abc import Sequence

from semloop.kafka.topic import Topic
from semloop.settings import Settings
from tests.flows.flow_runner import (
    each_once,
    produce,
    run_archive,
    run_failing_archive,
    stored_origins,
)
from tests.support import processes
from tests.support.builders import an_event
from tests.support.commands import execute

LIMITS = {
    "SEMLOOP_DEAD_LETTERS_MAX_RATIO": "0.5",
    "SEMLOOP_DEAD_LETTERS_RECORDS_MIN": "20",
}


def limited(settings: Settings) -> Settings:
    """Settings with `LIMITS`, for a flow in the process of the test."""
    return settings.replace(dead_letters_max_ratio=0.5, dead_letters_records_min=20)


def run(settings: Settings, *flags: str, **limits: str) -> tuple[int, Sequence[str]]:
    result = processes.run(
        settings, "run", "archive", "--until-caught-up", *flags, **(limits or LIMITS)
    )
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    return result.returncode, lines


def health(settings: Settings) -> str:
    _, output, _ = execute(processes.environment(settings), "health")
    return output


def status(settings: Settings) -> str:
    return processes.run(settings, "status").stdout


def test_archive_stops_before_it_pours_a_topic_into_dead_letters(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 10)
    run_archive(settings)
    bad = [{"type": "message"}] * 90 + [an_event() for _ in range(10)]
    later = produce(settings, bad)
    for _ in range(2):  # a restart does not store them either
        code, (what, todo) = run(settings)
        assert code == 3
        # 90 of the 110 records of the topic, or 90 of 100.
        assert "would become dead letters, more than 50%" in what
        assert "most for the reason missing_field" in what
        assert todo.endswith("semloop run archive --accept-dead-letters")
        assert stored_origins(settings) == each_once({topic.topic_id: sent})
        assert f"FAIL  flow archive stopped: {what}" in health(settings)
        report = status(settings)
        assert f"       stopped: {what}\n       What to do: `semloop health`." in report
    assert run(settings, "--accept-dead-letters") == (0, [])
    assert stored_origins(settings) == each_once({topic.topic_id: sent | later})
    assert "flow archive stopped" not in health(settings)
    assert "stopped: " not in status(settings)
    # They were accepted: the next few do not add to them.
    few = produce(settings, [{"type": "message"}] * 15)
    run_archive(limited(settings))
    stored = {topic.topic_id: sent | later | few}
    assert stored_origins(settings) == each_once(stored)


def test_a_corrected_setting_needs_no_flag(settings: Settings, topic: Topic) -> None:
    sent = produce(settings, 30)
    wrong = limited(settings).replace(record_bytes_max=10)
    what, _ = run_failing_archive(wrong, exit_code=3)
    assert "most for the reason too_large" in what
    run_archive(limited(settings))
    assert stored_origins(settings) == each_once({topic.topic_id: sent})


def test_several_processes_stop_together_with_the_cause(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, [{"type": "message"}] * 50)
    code, lines = run(settings, "--processes", "2")
    assert code == 3
    assert [line for line in lines if "most for the reason missing_field" in line]
    assert stored_origins(settings).total() == 0
