"""Exit codes of `semloop health`, and what `--watch` prints."""

import pytest

from semloop.command.cli import health as command
from semloop.command.cli.health import changes
from semloop.command.health import Check, Status
from tests.cli.helpers import Semloop


def a_check(status: Status, agent: str | None = None) -> Check:
    return Check("agent.refused", status, "what", "do", {"agent": agent})


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([Status.OK, Status.NOTE], 0),
        ([Status.OK, Status.WARN], 2),
        ([Status.WARN, Status.FAIL, Status.NOTE], 1),
    ],
    ids=["a note", "a warning", "a failure"],
)
def test_the_exit_code_tells_the_severity(
    statuses: list[Status],
    code: int,
    semloop: Semloop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks = [a_check(status) for status in statuses]
    monkeypatch.setattr(command, "run_checks", lambda settings: checks)
    found, out, _ = semloop.run("health")
    assert found == code
    marks = [line[:4].strip().lower() for line in out.splitlines() if line[0] != " "]
    assert marks == [str(status) for status in statuses]


def test_a_change_is_a_new_problem_another_status_or_a_problem_that_is_gone() -> None:
    before = [a_check(Status.FAIL, "a"), a_check(Status.FAIL, "b"), a_check(Status.OK)]
    after = [a_check(Status.FAIL, "b"), a_check(Status.WARN), a_check(Status.FAIL, "c")]
    found = [(c.status, c.figures.get("agent"), c.what) for c in changes(before, after)]
    assert found == [
        (Status.WARN, None, "what"),
        (Status.FAIL, "c", "what"),
        (Status.OK, None, "no longer: what"),
    ]
    assert changes(before, before) == []


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_watch_prints_what_changes_until_ctrl_c(
    options: tuple[str, ...], semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [[a_check(s, "a")] for s in (Status.OK, Status.OK, Status.FAIL)]

    def next_result(settings: object) -> list[Check]:
        if not results:
            raise KeyboardInterrupt
        return results.pop(0)

    monkeypatch.setattr(command, "run_checks", next_result)
    code, out, _ = semloop.run("health", "--watch", "--every", "0.1", *options)
    assert code == 130
    assert out.count("what") == (4 if options else 2)
    assert ("UTC" in out) is not bool(options)


def test_a_lake_without_a_broker_names_no_address(semloop: Semloop) -> None:
    code, out, _ = semloop.run("health", "--ready")
    assert code == 1
    assert "FAIL  a broker is set, or a stack runs for the lake" in out
    assert "19092" not in out


def test_probes_say_what_they_miss(semloop: Semloop) -> None:
    missing = "No flow has shown a sign of life in this lake yet.\n"
    assert semloop.run("health", "--live") == (0, missing, "")
    code, out, err = semloop.run("health", "--live", "--ready")
    assert (code, out) == (1, "")
    assert err == (
        "--ready and --live are two probes, and were given together.\n"
        "Give one of them.\n"
    )
