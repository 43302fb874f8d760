"""One `Lake` in several threads: every answer equals that of one thread."""

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from semloop import Lake
from semloop.command.cli.show import query_session
from tests.operators.event_rows import event_row, events_table
from tests.semloop.recall.a_memory_lake import a_memory_lake, a_message
from tests.semloop.written_lake import append

pytestmark = pytest.mark.slow

THREADS, ROUNDS = 8, 6
MINUTE_S = 60.0
NUMBERS = range(40)


def answer(lake: Lake, number: int) -> str:
    """Return an answer that only this number has, by one of the ways to ask."""
    query = f"case w{number}"
    if number % 4 == 0:
        rows = lake.sql(f"FROM recall('{query}', k := 3)").fetchall()
    elif number % 4 == 1:
        rows = lake.sql("SELECT $n, count(*) FROM episodes", {"n": number}).fetchall()
    elif number % 4 == 2:
        query = (
            f"SELECT text FROM memories WHERE contains(text, 'w{number} ') ORDER BY 1"
        )
        rows = lake.sql(query).fetchall()
    else:
        rows = lake.recall(query, 3, namespace=f"n{number % 3}").to_pylist()
    return json.dumps(rows, default=str)


def test_answers_in_threads_equal_those_of_one_thread(tmp_path: Path) -> None:
    lake = a_memory_lake(
        tmp_path,
        *(
            a_message(f"case w{n} of {n % 7}", f"e{n}", namespace=f"n{n % 3}")
            for n in NUMBERS
        ),
    )
    with Lake(settings=lake.settings) as opened:
        expected = {number: answer(opened, number) for number in NUMBERS}
        assert len(set(expected.values())) == len(expected)
        begin = threading.Barrier(THREADS)

        def ask(worker: int) -> list[int]:
            begin.wait()
            numbers = [(worker * 7 + n) % len(NUMBERS) for n in range(ROUNDS)]
            return [n for n in numbers if answer(opened, n) != expected[n]]

        with ThreadPoolExecutor(THREADS) as threads:
            wrong = list(threads.map(ask, range(THREADS)))
    assert wrong == [[]] * THREADS


@pytest.mark.storm
def test_answers_in_threads_equal_those_of_one_thread_for_a_minute(
    tmp_path: Path,
) -> None:
    lake = a_memory_lake(
        tmp_path,
        *(
            a_message(f"case w{n} of {n % 7}", f"e{n}", namespace=f"n{n % 3}")
            for n in NUMBERS
        ),
    )
    # The timelines of `semloop show`, too.
    events = (
        event_row(kind, f"s-{n}", n, namespace=f"n{n % 3}", text=f"w{n} {kind}")
        for n in NUMBERS
        for kind in ("message", "tool_call", "completion")
    )
    append(tmp_path, "events", events_table(*events))

    def shown(opened: Lake, number: int) -> str:
        key = {"session": f"s-{number}", "namespace": f"n{number % 3}"}
        summary, rows = query_session(opened, key)
        return json.dumps([summary, rows], default=str)

    with Lake(settings=lake.settings) as opened:
        expected = {n: (answer(opened, n), shown(opened, n)) for n in NUMBERS}
        end_s = time.monotonic() + MINUTE_S

        def ask(worker: int) -> tuple[int, list[int]]:
            rng, asked, wrong = random.Random(worker), 0, []
            while time.monotonic() < end_s:
                number = rng.choice(NUMBERS)
                found = answer(opened, number), shown(opened, number)
                asked += 1
                if found != expected[number]:
                    wrong.append(number)
            return asked, wrong

        with ThreadPoolExecutor(THREADS) as threads:
            results = list(threads.map(ask, range(THREADS)))
    assert [wrong for _, wrong in results] == [[]] * THREADS
    assert all(asked for asked, _ in results)


def test_the_first_queries_of_several_threads_open_one_database(
    tmp_path: Path,
) -> None:
    lake = a_memory_lake(tmp_path, a_message("a trip"))
    begin = threading.Barrier(THREADS)

    def ask(opened: Lake) -> tuple[object, object]:
        begin.wait()
        return opened.sql("SELECT text FROM memories").fetchone(), opened.connection

    with lake.open() as opened, ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(ask, [opened] * THREADS))
    assert [row for row, _ in found] == [("a trip",)] * THREADS
    assert len({id(connection) for _, connection in found}) == 1


def test_a_relation_of_another_thread_can_be_read_after_it_ended(
    tmp_path: Path,
) -> None:
    lake = a_memory_lake(tmp_path, a_message("a trip"))
    with lake.open() as opened, ThreadPoolExecutor(1) as thread:
        query = "SELECT current_setting('TimeZone'), text FROM memories"
        relation = thread.submit(opened.sql, query).result()
        assert relation.fetchall() == [("UTC", "a trip")]
