"""A dataflow whose reader pauses, and whose wall clock is set back meanwhile.

`python -m tests.flows.paused_reader FILE` prints the number of the items; FILE has the
offset of the clock.
"""

import struct
import sys
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main

from flows.bytewax_io import ReaderSource
from tests.storm.wall_clock import LAYOUT

DAY_S = 86_400
ITEMS = 3


class Reader:
    """Returns numbers, with a pause after each of them."""

    caught_up = False
    pause_s = 0.3

    def __init__(self) -> None:
        self._count = 0

    def poll(self) -> Any:
        if self._count == ITEMS:
            raise StopIteration
        self._count += 1
        return self._count

    def close(self) -> None:
        """Nothing to release."""


def main() -> None:
    found: list[Any] = []
    clock = Path(sys.argv[1])

    def set_back(_: str, number: int) -> None:
        with clock.open("r+b") as file:
            file.write(struct.pack(LAYOUT, -DAY_S * number))

    flow = Dataflow("paused")
    source = ReaderSource(lambda *_: Reader(), guard=lambda poll: poll)
    read = op.inspect("clock", op.input("reader", flow, source), set_back)
    op.output("items", read, TestingSink(found))
    run_main(flow)  # type: ignore[no-untyped-call]
    print(len(found))


if __name__ == "__main__":
    main()
