"""No record of a stranger stops a flow, maintenance, an index, a view or a terminal."""

import csv
import io
import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from flows.index import index
from flows.reindex import reindex
from semloop.kafka.topic import TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.cli.helpers import Semloop
from tests.flows.flow_runner import run_archive
from tests.flows.memory_audit import memory_differences, run_memory_flow
from tests.operators.event_fields import IDENTIFIERS, Field, event_with
from tests.support.builders import an_event, raw
from tests.support.hostile_text import HOSTILE, hidden_in
from tests.support.prompt_producer import prompt_producer

pytestmark = pytest.mark.slow

GOOD = 40
# With a character of four bytes and a letter.
ALPHABET = f"{HOSTILE}\U0001f600a"
# Records that are no events for another reason than a too long identifier.
OTHER_LETTERS = 2


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings without a model, which the commands of the test use, too."""
    monkeypatch.setenv("SEMLOOP_LAKE", settings.lake)
    monkeypatch.setenv("SEMLOOP_EMBEDDER", "hashing")
    return settings.replace(embedder="hashing")


@pytest.fixture
def semloop(capsys: pytest.CaptureFixture[str]) -> Semloop:
    return Semloop(capsys)


# Each command opens the lake, which takes most of the time: only a storm shows the
# session and the letter of each record.
@pytest.mark.parametrize(
    ("seed", "shown_max"), [(0, 2), pytest.param(1, 999, marks=pytest.mark.storm)]
)
@pytest.mark.usefixtures("log_setup_restored")
def test_hostile_records_stop_nothing(
    settings: Settings, semloop: Semloop, seed: int, shown_max: int
) -> None:
    count = produce_mixed(settings, random.Random(seed))
    run_archive(settings)
    run_memory_flow(settings)
    assert memory_differences(settings) == {}
    index(settings)
    reindex(settings)
    index(settings)
    with Lake(settings=settings) as lake:
        check_tables(lake, count)
        check_recall(lake)
        sessions = lake.sql(
            "SELECT DISTINCT session_id, namespace FROM events ORDER BY hash(session_id)"
        )
        # The arguments of a process cannot contain NUL.
        shown = [row for row in sessions.fetchall() if "\0" not in "".join(row)]
        letters = lake.sql("SELECT id FROM dead_letters ORDER BY hash(raw)").fetchall()
    for command in [
        ["tail", "--no-follow", "-n", "1000"],
        ["dlq", "ls"],
        ["dlq", "ls", "--each"],
        ["recall", "hello", "-k", "100", "--all"],
        ["sql", "FROM events"],
        ["sql", "FROM dead_letters"],
        ["sql", "FROM sessions"],
        *(["dlq", "show", letter] for (letter,) in letters[:shown_max]),
        *(
            ["show", name, "--namespace", namespace]
            for name, namespace in shown[:shown_max]
        ),
    ]:
        code, out, err = semloop.run(*command)
        assert (code, hidden_in(out), hidden_in(err)) == (0, set(), set()), (
            command,
            err,
        )
    check_machine_formats(settings, semloop)


def produce_mixed(settings: Settings, source: random.Random) -> int:
    """Produce hostile records among good ones, in any order; return how many."""
    good = [
        an_event(agent="good", payload={"role": "user", "content": f"refund {n}"})
        for n in range(GOOD)
    ]
    values = [raw(e) for e in [*good, *hostile_events(source), *extreme_events()]]
    values.append(raw(an_event()).replace(b'"s-1"', rb'"\ud800"'))
    values.append(raw(an_event(meta={"session_id": "s" * 600_000})))
    source.shuffle(values)
    TopicAdmin(settings).ensure()
    producer = prompt_producer(settings)
    for value in values:
        key = source.randbytes(source.randrange(9))
        headers: list[tuple[str, str | bytes | None]] = [
            ("\x1b[2J", key), (HOSTILE[:5], None),
        ]  # fmt: skip
        producer.produce(settings.topic, value, key, headers=headers)
    assert producer.flush(60) == 0
    return len(values)


def hostile_events(source: random.Random) -> Iterator[dict[str, Any]]:
    """Yield for each identifier two events within its bound, and two beyond it."""
    for field in IDENTIFIERS:
        assert field.chars_max is not None
        for chars in (1, field.chars_max, field.chars_max + 1, 50_000):
            yield hostile_event(field, "".join(source.choices(ALPHABET, k=chars)))


def hostile_event(field: Field, text: str) -> dict[str, Any]:
    event = event_with(field, [text] if field.values_max else text)
    return event | {"id": str(uuid.uuid4())}


def extreme_events() -> Iterator[dict[str, Any]]:
    """Yield events of one session with the largest numbers, twice each."""
    for sign in (1, 1, -1, -1):
        number, whole = sign * 1.7e308, 2**63 - 1
        # Negative credits and tokens are refused.
        meta = {"session_id": "extreme", "credits_used": abs(number)}
        call = {"tool": "t", "status": "error", "duration_ms": number, "big": 10**400}
        tokens = {"input_tokens": whole, "output_tokens": whole}
        rating = {"name": "n", "source": "human", "score": number, "\0": "\0"}
        yield an_event("tool_call", payload=call, meta=meta)
        yield an_event(payload={"role": "user", "content": "x"} | tokens, meta=meta)
        yield an_event("feedback", payload=rating, meta=meta)
        done = {"outcome": "failure", "reward": number, "summary": "x" * 500_000}
        yield an_event("completion", payload=done, meta=meta | {"task": "y" * 300_000})


def check_tables(lake: Lake, count: int) -> None:
    for view in lake.views():
        lake.sql(f"SELECT * FROM {view}").fetchall()
    good = "SELECT count(*) FROM events WHERE agent = 'good'"
    assert lake.sql(good).fetchall() == [(GOOD,)]
    ((events, letters, longest),) = lake.sql(
        "SELECT (SELECT count(*) FROM events), count(*), max(length(detail))"
        " FROM dead_letters"
    ).fetchall()
    assert events + letters == count
    assert letters == 2 * len(IDENTIFIERS) + OTHER_LETTERS
    # A detail has the name of a field, not its content.
    assert longest < 100


def check_recall(lake: Lake) -> None:
    """Find each memory by the names of its event."""
    names = lake.sql(
        "SELECT DISTINCT session_id, namespace, agent, user_id FROM memories"
    ).fetchall()
    for session, namespace, agent, user in names:
        found = lake.recall(
            "hello", session=session, namespace=namespace, agent=agent, user=user
        )
        assert found.num_rows


def check_machine_formats(settings: Settings, semloop: Semloop) -> None:
    query = "SELECT agent, tags FROM events ORDER BY event_id"
    with Lake(settings=settings) as lake:
        expected = lake.sql(query).fetchall()
    found = json.loads(semloop("sql", query, "--format", "json"))
    assert [(row["agent"], row["tags"]) for row in found] == expected
    text = io.StringIO(semloop("sql", query, "--format", "csv"), newline="")
    _, *lines = csv.reader(text)
    assert [line[0] for line in lines] == [agent for agent, _ in expected]
