import os
import signal
import threading
from pathlib import Path

import pytest

from semloop.command.cli.lake_queries import one_line, open_lake
from semloop.settings import load


def test_ctrl_c_while_duckdb_is_at_work_ends_the_query() -> None:
    Path(".semloop").mkdir()
    # What a shell runs in the background is deaf to Ctrl-C otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    # The command line takes this for Ctrl-C.
    with pytest.raises(RuntimeError, match=r"^Query interrupted$"):
        ask_for_ever(timer)


def ask_for_ever(timer: threading.Timer) -> None:
    endless = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(1000000) b"
    with open_lake(load()) as lake:
        timer.start()
        lake.sql(endless).fetchall()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ""),
        ("a\n\tb\u2028c ", "a b c"),
        ("\x1b[2J\r\u202e", r"\u001b[2J\u000d\u202e"),
    ],
)
def test_a_text_stays_on_its_line(text: str | None, expected: str) -> None:
    assert one_line(text) == expected
