"""The states of dead letters: what the view makes of rows in any order."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.arrow import arrow_schema
from semloop import tables
from semloop.lake.catalog import VIEWS_FOLDER
from tests.support.examples import examples

STEPS = (
    "replay", "replay, not noted", "becomes an event", "fails", "fails after a crash",
    "park", "resolve",
)  # fmt: skip
FIRST = ("letter-0", "topic-1/0/0")


@dataclass
class Model:
    """The state of one dead letter, as its history in order gives it.

    `letters` and `actions` are the rows that this history writes.
    """

    attempts: int = 0
    state: str = "open"
    produced: int = 0
    offset: int = 0
    failed: set[int] = field(default_factory=set)
    letters: list[dict[str, object]] = field(default_factory=list)
    actions: list[dict[str, object]] = field(default_factory=list)

    def step(self, name: str) -> None:
        if name.startswith("replay"):
            self._replay(is_noted=name == "replay")
        elif name == "becomes an event" and self.produced:
            self.state = "an event"
            self._act("resolved", self.produced, record=self._record())
        elif name.startswith("fails") and self.produced:
            self._fail(is_second=name == "fails after a crash")
        elif name == "park" and self.state in {"open", "replayed"}:
            self.state = "parked"
            self._act("parked", self.attempts)
        elif name == "resolve" and self.state in {"open", "replayed", "parked"}:
            self.state = "resolved"
            self._act("resolved", self.attempts)

    def _replay(self, *, is_noted: bool) -> None:
        self.produced = self.attempts + 1
        if is_noted:
            self.attempts += 1
            self._act("replayed", self.attempts)
            if self.state != "an event":
                self.state = "open" if self.attempts in self.failed else "replayed"

    def _fail(self, *, is_second: bool) -> None:
        record = self._record()
        if is_second:
            self._act("resolved", self.produced, record=record)
        self.failed.add(self.produced)
        self.letters.append(letter(self.offset, replay_of=FIRST, attempt=self.produced))
        if self.state == "replayed" and self.produced == self.attempts:
            self.state = "open"

    def _record(self) -> str:
        self.offset += 1
        return f"topic-1/0/{self.offset}"

    def _act(self, action: str, attempt: int, record: str | None = None) -> None:
        values = (*FIRST, action, attempt, record)
        names = ("dead_letter_id", "origin", "action", "attempt", "record")
        self.actions.append(dict(zip(names, values, strict=True)))


def letter(
    offset: int, replay_of: tuple[str, str] = ("", ""), attempt: int | None = None
) -> dict[str, object]:
    """Return a row of the table `dead_letters`."""
    row: dict[str, object] = {"id": f"letter-{offset}", "topic_id": "topic-1"}
    row |= {"kafka_partition": 0, "kafka_offset": offset, "attempt": attempt}
    if attempt is not None:
        row |= {"replay_of": replay_of[0], "replay_origin": replay_of[1]}
    return row


Rows = Sequence[dict[str, object]]
View = Callable[[Rows, Rows], dict[str, list[object]]]


@pytest.fixture(scope="module")
def view() -> Iterator[View]:
    """Returns {id of a dead letter: its state and attempts} of rows of the tables."""
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA tables")
        columns = {
            "dead_letters": tables.DEAD_LETTERS,
            "dead_letter_actions": tables.DEAD_LETTER_ACTIONS,
        }
        for name, types in columns.items():
            listed = ", ".join(f"{column} {kind}" for column, kind in types.items())
            connection.execute(f"CREATE TABLE tables.{name} ({listed})")
        query = (VIEWS_FOLDER / "dead_letters.sql").read_text("utf-8")
        connection.execute(f"CREATE VIEW dead_letters AS {query}")

        def states(*rows: Rows) -> dict[str, list[object]]:
            for name, each in zip(columns, rows, strict=True):
                schema = arrow_schema(columns[name])
                connection.register("given", pa.Table.from_pylist([*each], schema))
                connection.execute(f"DELETE FROM tables.{name}")
                connection.execute(f"INSERT INTO tables.{name} FROM given")
            found = connection.sql("SELECT id, state, attempts FROM dead_letters")
            shown = found.fetchall()
            assert len(shown) == len(rows[0])
            return {name: state for name, *state in shown}

        yield states


@examples(40)
@given(st.lists(st.sampled_from(STEPS), max_size=10), st.randoms(use_true_random=False))
def test_rows_in_any_order_and_repeated_give_the_state_of_their_history(
    view: View, steps: list[str], order: random.Random
) -> None:
    model = Model()
    for step in steps:
        model.step(step)
    letters = [letter(0), *model.letters]
    actions = model.actions + [a for a in model.actions if order.random() < 0.5]
    order.shuffle(letters)
    order.shuffle(actions)
    found = view(letters, actions)
    expected = model.state.replace("an event", "resolved")
    assert found.pop("letter-0") == [expected, model.attempts]
    assert {state for state, _ in found.values()} <= {"attempt"}


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (("letter-0", "topic-1/0/0"), "attempt"),
        (("letter-0", "topic-2/0/0"), "open"),
        (("expired", "topic-1/0/0"), "open"),
        (("letter-1", "topic-1/0/1"), "open"),
    ],
    ids=["a replay", "of another lake", "of an expired letter", "of itself"],
)
def test_only_a_replay_of_a_stored_letter_is_an_attempt(
    view: View, mark: tuple[str, str], expected: str
) -> None:
    rows = [letter(0), letter(1, replay_of=mark, attempt=1)]
    assert view(rows, [])["letter-1"] == [expected, int(expected == "attempt")]


def test_a_mark_with_a_number_that_no_replay_had_changes_no_state(view: View) -> None:
    origin = dict(zip(("dead_letter_id", "origin"), FIRST, strict=True))
    parked = origin | {"action": "parked", "attempt": 999_999_999}
    replayed = origin | {"action": "replayed", "attempt": 1}
    forged = letter(1, replay_of=FIRST, attempt=999_999_999)
    assert view([letter(0), forged], [parked])["letter-0"] == ["open", 0]
    found = view([letter(0), forged], [parked, replayed])
    assert found["letter-0"] == ["replayed", 1]
