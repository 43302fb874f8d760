"""`semloop dlq park` and `dlq resolve`, and options that select dead letters."""

import json
import re
from pathlib import Path

import pytest

from semloop.command.cli.import_reruns import RESOLVE
from tests.dlq.letters import Letters, broken
from tests.support.builders import an_event

NOT_RUNNING = (
    "The flow archive does not run here."
    " `semloop run archive --until-caught-up` stores it."
)


def test_a_wrong_import_is_taken_back(letters: Letters, tmp_path: Path) -> None:
    letters.produce(b"not json")
    file = tmp_path / "wrong.jsonl"
    lines = [an_event("message"), *({"wrong": n} for n in range(5))]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = letters.semloop("import", str(file), "--format", "events")
    letters.archive()
    assert letters.states() == {"open": 6}
    command = re.search("semloop (dlq resolve --import .+)", out)
    assert command
    out = letters.semloop(*command[1].split(), "--note", "wrong file")
    assert out == "Dead letters resolved: 5.\n"
    assert letters.states() == {"open": 1, "resolved": 5}
    (letter, *_) = letters.listed("--state", "resolved")
    assert "wrong file" in letters.semloop("dlq", "show", letter["id"])


def test_a_repeated_import_names_the_import_that_has_its_dead_letters(
    letters: Letters, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.jsonl"
    lines = [an_event("message"), *({"wrong": n} for n in range(5))]
    command = ("import", str(file), "--format", "events")

    def imported(count: int) -> list[str]:
        file.write_text("".join(json.dumps(line) + "\n" for line in lines[:count]))
        output = letters.semloop(*command).splitlines()
        letters.archive()
        return output[output.index(NOT_RUNNING) + 1 :]

    # No lake yet.
    (first, _) = imported(4)
    own = first.rpartition(" ")[2]
    assert imported(4) == [
        f"Dead letters of an earlier import: 3 lines. To drop them: {RESOLVE} {own}"
    ]
    again, others = imported(6)
    assert again.startswith("Dead letters of an earlier import: 3 lines.")
    assert others.startswith(f"To drop the others: {RESOLVE} ")
    for output in (again, others):
        letters.semloop(*output.partition("semloop ")[2].split())
    assert letters.states() == {"resolved": 5}
    assert imported(6) == ["Dead letters of an earlier import, and resolved: 5 lines."]


def test_parked_letters_are_replayed_only_on_request(
    letters: Letters, tmp_path: Path
) -> None:
    repair = letters.transform(tmp_path)
    letters.produce(broken(an_event("message")), broken(an_event("message")))
    first, second = letters.listed()
    out = letters.semloop("dlq", "park", first["id"][:13], "--note", "ask Ann")
    assert out == "Dead letters parked: 1.\n"
    assert "Replayed: 1 of 1" in letters.semloop("dlq", "replay", *repair)
    assert letters.states() == {"parked": 1, "replayed": 1}
    assert [row["id"] for row in letters.listed("--state", "parked")] == [first["id"]]
    replayed = letters.listed("--state", "replayed")
    assert [row["id"] for row in replayed] == [second["id"]]


@pytest.mark.parametrize("command", ["park", "resolve"])
def test_nothing_is_parked_or_resolved_without_a_selection(
    stored: Letters, command: str
) -> None:
    stored.produce(b"not json")
    what, todo = stored.semloop.refused("dlq", command)
    assert what.endswith("No dead letters are selected.")
    assert "--all" in todo
    assert stored.states() == {"open": 1}
    stored.semloop("dlq", command, "--all")
    assert not stored.states()["open"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--reason", "not_json"], 1),
        (["--reason", "unknown_type"], 2),
        (["--agent", "clerk"], 1),
        (["--where", "agent = 'booker' OR agent = 'clerk'"], 2),
        (["--where", "agent = 'booker' -- or not"], 1),
        (["--where", "id IN (SELECT id FROM dead_letters WHERE agent = 'clerk')"], 1),
        (["--where", "detail <> ';' AND agent = 'clerk'", "--reason", "not_json"], 0),
        (["--since", "2030-01-01"], 0),
    ],
)
def test_options_select_letters(
    stored: Letters, options: list[str], expected: int
) -> None:
    each = [broken(an_event("message", agent=name)) for name in ("booker", "clerk")]
    stored.produce(b"not json", *each)
    stored.semloop("dlq", "resolve", *options)
    assert stored.states()["resolved"] == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["replay", "--where", "nonsense = 1"], "--where is not a condition"),
        (["park", "--where", "state"], "--where is not a condition"),
        (["replay", "--where", "true); SELECT (1"], "--where is not a condition"),
        (["replay", "--where", "id = ?"], "without parameters"),
        (["replay", "--where", "true) OR (true"], "--where is not a condition"),
        (["resolve", "--where", "true ORDER BY id"], "--where is not a condition"),
        (["replay", "--state", "opne"], "There is no state 'opne'"),
        (["replay", "--state", "attempt"], "There is no state 'attempt'"),
        (["replay", "--transform", "/nowhere.py"], "/nowhere.py is not a Python file"),
        (["resolve", "ffffffff"], "There is no dead letter 'ffffffff'"),
    ],
)
def test_a_wrong_option_is_named(
    stored: Letters, arguments: list[str], expected: str
) -> None:
    stored.produce(b"not json")
    code, _, err = stored.semloop.run("dlq", *arguments)
    assert (code, err.count("\n")) == (1, 2)
    assert expected in err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def transform(record) return record", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("repair = None", "has no function `transform`"),
        ("def transform(record): return record['secret']", "transform raised KeyError"),
        ("def transform(record): return 7", "transform returned int"),
        ("def transform(record): return [record]", "transform returned list"),
        ("def transform(record): return b''", "transform returned no content"),
        ("def transform(record): raise SystemExit", "transform raised SystemExit"),
        ("raise SystemExit", "cannot be loaded: SystemExit"),
        ("def transform(record): return {'x': object()}", "what is not JSON"),
    ],
)
def test_a_wrong_transform_is_explained_without_content(
    stored: Letters, tmp_path: Path, text: str, expected: str
) -> None:
    stored.produce(broken(an_event("message", agent="private name")))
    option = stored.transform(tmp_path, text)
    code, out, err = stored.semloop.run("dlq", "replay", *option)
    assert code == 1
    assert expected in err
    assert "private name" not in out + err
    assert stored.states() == {"open": 1}
