import os
import signal
import threading
from pathlib import Path

import pytest

from semloop.command.cli.lake_queries import open_lake
from semloop.settings import load


def test_ctrl_c_during_a_query_interrupts_it() -> None:
    Path(".semloop").mkdir()
    # A background job of a shell ignores SIGINT by default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    # The command line treats this error as Ctrl-C.
    with pytest.raises(RuntimeError, match=r"^Query interrupted$"):
        run_endless_query(timer)


def run_endless_query(timer: threading.Timer) -> None:
    endless = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(1000000) b"
    with open_lake(load()) as lake:
        timer.start()
        lake.sql(endless).fetchall()
