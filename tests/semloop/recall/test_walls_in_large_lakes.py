"""Answers in a namespace stay the same when another one has 50,000 memories."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operators.event_rows import Row, event_row
from tests.semloop.recall.event_lake import an_event_lake

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1_800)]

OWN, OTHERS, QUERIES = 600, 50_000, 60
WORDS = [f"w{n}" for n in range(300)]
KINDS = ["message", "message", "tool_call", "error", "completion", "feedback"]


def an_event(rng: random.Random, namespace: str) -> Row:
    return event_row(
        rng.choice(KINDS),
        f"s-{rng.randrange(40)}",
        rng.randrange(100_000),
        namespace=namespace,
        agent=rng.choice(["booker", "payer"]),
        user_id=rng.choice([None, "ann", "bob"]),
        # The first words are frequent, as in a natural language.
        text=" ".join(rng.choice(WORDS[: rng.randint(3, 300)]) for _ in range(8)),
    )


def questions(rng: random.Random) -> Iterator[tuple[str, int, Row]]:
    for _ in range(QUERIES):
        query = " ".join(rng.choice(WORDS[: rng.randint(3, 300)]) for _ in range(3))
        filters: Row = {"namespace": "acme"}
        if rng.random() < 0.3:
            filters["user"] = "ann"
        if rng.random() < 0.3:
            filters["min_reward"] = 0.5
        if rng.random() < 0.2:
            filters["agent"] = "payer"
        yield query, rng.choice([1, 10, 50]), filters


def test_fifty_thousand_memories_of_another_namespace_change_no_byte(
    tmp_path: Path,
) -> None:
    rng = random.Random(15)
    places = set(rng.sample(range(OWN + OTHERS), OWN))
    events = [
        an_event(rng, "acme" if n in places else "globex") | {"kafka_offset": n}
        for n in range(OWN + OTHERS)
    ]
    both = an_event_lake(tmp_path / "both", events)
    own = [row for row in events if row["namespace"] == "acme"]
    alone = an_event_lake(tmp_path / "alone", own)
    found = 0
    with both.open() as shared, alone.open() as single:
        for query, k, filters in questions(rng):
            answer = shared.recall(query, k, **filters)
            assert answer.equals(single.recall(query, k, **filters)), (query, filters)
            found += answer.num_rows
    assert found > 5 * QUERIES
