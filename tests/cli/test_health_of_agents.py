"""`health`, `doctor` and `status` name the agents whose records are refused."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from operators.decoding.decode import decode
from operators.dedupe import DedupeWindow, dedupe
from semloop.command.cli import health_report
from semloop.command.doctor import State
from semloop.command.health import Check, Status
from semloop.progress.activity import WINDOW_S
from semloop.settings import load
from tests.cli.helpers import Semloop, Writer
from tests.doctor.run_checks import findings_of
from tests.support.builders import NOW, a_poll, an_event

PRIVATE = "ring me at nine"


def of_agents() -> list[Check]:
    checks = health_report.run_checks(load())
    return [check for check in checks if check.code.startswith("agent.")]


def a_message(agent: str = "laptop", **fields: Any) -> dict[str, Any]:
    payload = {"role": "user", "content": PRIVATE}
    return an_event(payload=payload, agent=agent, **fields)


def ahead(agent: str = "laptop") -> dict[str, Any]:
    """Build an event of a producer whose clock is 6 minutes ahead."""
    at = NOW + timedelta(minutes=6, seconds=2)
    return a_message(agent, timestamp=at.isoformat())


REFUSED: dict[str, Callable[[], object]] = {
    "timestamp_out_of_range": ahead,
    "unknown_type": lambda: a_message(type="chat"),
    "missing_field": lambda: a_message(meta={"session_id": None}) | {"meta": {}},
    "invalid_value": lambda: a_message(id="1"),
    "wrong_type": lambda: a_message(timestamp=5),
    "not_json": lambda: b'{"text": "ring me at nine',
}


@pytest.mark.parametrize("reason", REFUSED)
def test_an_agent_whose_records_are_refused_is_named_with_reason_and_remedy(
    reason: str, semloop: Semloop
) -> None:
    Writer().write(*(REFUSED[reason]() for _ in range(50)))
    (check,) = of_agents()
    assert (check.code, check.status) == ("agent.refused", Status.FAIL)
    assert "50 of 50 records of the last 15 minutes were refused" in check.what
    assert f"50 {reason}" in check.what
    named = "records without a readable agent" if reason == "not_json" else "'laptop'"
    assert named in check.what
    assert check.figures["kinds"] == {reason: 50}
    # The suggested command shows the example.
    command, letter = check.todo.rpartition("semloop ")[2].rsplit(" ", 1)
    assert letter == check.figures["example"]
    assert reason in semloop(*command.split(), letter)

    (finding,) = findings_of(load(), "lake", "agents")
    assert (finding.state, finding.found, finding.todo) == (
        State.FAIL, check.what, check.todo,
    )  # fmt: skip
    status = semloop("status")
    assert " ".join(check.what.split()) in " ".join(status.split())
    assert PRIVATE not in status + check.what + check.todo


def test_the_line_about_a_clock_says_by_how_much_it_is_ahead() -> None:
    Writer().write(*(ahead() for _ in range(20)))
    (check,) = of_agents()
    assert "the producer's clock is 6 minutes ahead" in check.what
    assert "correct the producer's clock" in check.todo


def test_only_the_agent_that_is_refused_is_named() -> None:
    writer = Writer()
    writer.write(*(a_message("desktop") for _ in range(900)))
    writer.write(*(ahead() for _ in range(30)), *(a_message() for _ in range(10)))
    (check,) = of_agents()
    assert check.what.startswith("agent 'laptop': 30 of 40 records")


@pytest.mark.parametrize(
    ("bad", "good", "status"),
    [(19, 0, Status.OK), (20, 0, Status.FAIL), (20, 381, Status.OK), (20, 380, Status.FAIL)],
    ids=["few", "enough", "small share", "large share"],
)  # fmt: skip
def test_few_refused_records_or_a_small_share_do_not_fail(
    bad: int, good: int, status: Status
) -> None:
    Writer().write(*(ahead() for _ in range(bad)), *(a_message() for _ in range(good)))
    (check,) = of_agents()
    assert check.status is status


def test_nameless_records_are_compared_with_those_of_all_agents() -> None:
    writer = Writer()
    writer.write(*(a_message() for _ in range(500)), *[b"{"] * 25)
    assert of_agents()[0].status is Status.OK
    writer.write(*[b"{"] * 25)
    (check,) = of_agents()
    assert check.status is Status.FAIL
    assert "50 of 550 records" in check.what


def test_what_was_refused_long_ago_does_not_fail() -> None:
    writer = Writer()
    writer.now -= timedelta(seconds=WINDOW_S + 60)
    writer.write(*(ahead() for _ in range(50)))
    (check,) = of_agents()
    assert (check.status, check.figures["records"]) == (Status.OK, 0)


def test_it_passes_once_the_producer_is_repaired() -> None:
    writer = Writer()
    writer.write(*(ahead() for _ in range(50)))
    assert of_agents()[0].status is Status.FAIL
    writer.write(*(a_message() for _ in range(1_000)))
    assert of_agents()[0].status is Status.OK


def test_counts_survive_a_restart_of_the_flow() -> None:
    Writer().write(*(ahead() for _ in range(15)))
    Writer().write(*(ahead() for _ in range(15)))
    assert of_agents()[0].figures["affected"] == 30


def repeated(idempotent: bool) -> Check:
    """Send 30 events of one id; return the check of agents."""
    writer = Writer()
    event = a_message()
    keys = [event["id"]] * 30 if idempotent else None
    polled = a_poll(*[event] * 30, idempotency_keys=keys)
    windows = {0: DedupeWindow(1_000, 3_600_000)}
    decoded = decode(polled, NOW, 10**6)
    writer.loop.add(dedupe(decoded, windows, 0))
    writer.write()
    (check,) = of_agents()
    return check


def test_repeated_ids_fail() -> None:
    check = repeated(idempotent=False)
    assert (check.code, check.status) == ("agent.duplicates", Status.FAIL)
    assert "29 of 30 records" in check.what
    assert "give each event an id of its own" in check.todo


def test_repeats_that_are_marked_as_such_do_not_fail() -> None:
    assert repeated(idempotent=True).status is Status.OK


def test_records_with_another_key_than_their_session_fail() -> None:
    Writer().write(*(a_message() for _ in range(40)), keys=[None] * 40)
    (check,) = of_agents()
    assert (check.code, check.status) == ("agent.misrouted", Status.FAIL)
    assert "40 of 40 records" in check.what
    assert "must set it to meta.session_id" in check.todo


def test_json_has_one_object_per_check(semloop: Semloop) -> None:
    Writer().write(*(ahead() for _ in range(50)))
    code, out, _ = semloop.run("health", "--json")
    checks = json.loads(out)
    assert code == 1
    assert all(
        list(check) == ["code", "status", "what", "todo", "figures"] for check in checks
    )
    assert [c["status"] for c in checks if c["code"] == "agent.refused"] == ["fail"]


def test_the_checks_of_probes_leave_out_what_a_restart_does_not_repair(
    semloop: Semloop,
) -> None:
    Writer().write(*(ahead() for _ in range(50)))
    code, out, _ = semloop.run("health", "--live", "--json")
    assert (code, {c["code"] for c in json.loads(out)}) == (0, {"flow.alive"})
    _, out, _ = semloop.run("health", "--ready", "--json")
    assert "agent.refused" not in out


def test_status_counts_by_agent(semloop: Semloop) -> None:
    writer = Writer()
    writer.write(*(ahead() for _ in range(3)), a_message("desktop"))
    rows = json.loads(semloop("status", "--format", "json"))["agents"]
    names = ("agent", "records", "accepted", "refused", "duplicates", "misrouted")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("laptop", 3, 0, 3, 0, 0),
        ("desktop", 1, 1, 0, 0, 0),
    ]
