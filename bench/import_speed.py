"""How fast `semloop import` reads each format, and how much memory it takes.

`just bench-import`. For each format a file of `SIZE_MB` is written, and read as
`--dry-run` does, in a process of its own. The output shows MB per second of CPU time of
one core, the largest resident memory in MB, and whether the progress went back. Sizes:
`SIZE_MB=100` by default; `SIZE_MB=1000 FORMATS=array` is one JSON array of 1 GB.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sources.transcripts.input_files import size_of
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading
from tests.sources.trajectory_writers import WRITERS
from tests.sources.transcript_writers import Call, Turn

SIZE_MB = int(os.environ.get("SIZE_MB", "100"))
WORDS = "the agent looked at all orders of a customer and found one that is late "
# One JSON array of chats; messages that stand alone.
SHAPES = ("array", "messages")


def talk_of(number: int) -> list[Turn]:
    """Return a conversation of 8 turns with texts of 500 characters."""
    text = WORDS * 7
    call = Call("find", {"query": f"{number} {WORDS}"}, f"{number} {text}", False)
    return [
        Turn(f"{number}-{n} asked {text}", (call,), f"answered {text}", (900, 90))
        for n in range(8)
    ]


def pieces(form: str) -> Iterator[bytes]:
    """Yield files of conversations, each with ids of its own."""
    name = {"array": "chat", "messages": "chat"}.get(form, form)
    number = 0
    while True:
        number += 1
        content = WRITERS[name][0](talk_of(number))
        found = content.replace(b'"s"', b'"s%d"' % number)
        if form == "messages":
            chat: dict[str, Any] = msgspec.json.decode(found)
            found = b"\n".join(map(msgspec.json.encode, chat["messages"]))
        yield found


def write(path: Path, form: str, size: int) -> None:
    """Write a file of about this size."""
    between = b",\n" if form == "array" else b"\n"
    with path.open("wb") as file:
        file.write(b"[\n" if form == "array" else b"")
        for number, piece in enumerate(pieces(form)):
            file.write((between if number else b"") + piece)
            if file.tell() >= size:
                break
        file.write(b"\n]\n" if form == "array" else b"\n")


def read(path: str, form: str) -> None:
    """Read a file and print what it took."""
    ledger = Ledger()
    reading = Reading(path, "auto", Options(), ledger)
    began_s, last, back = time.process_time(), 0, 0
    for number, _ in enumerate(reading.records()):
        if number % 1_000 == 0:
            position = reading.position()
            back, last = back + (position < last), position
    took_s = time.process_time() - began_s
    size = size_of(path) or 0
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{form:12} {size / 1e6:7.0f} MB {size / 1e6 / took_s:6.1f} MB/s"
        f" {peak_mb:6.0f} MB resident, {ledger.events:,} events, {ledger.left:,} left"
        f" out, progress ended at {reading.position() / size:.0%}, went back {back}"
        f" times; {reading.title}",
        flush=True,
    )


def main() -> None:
    """Measure each format in a new process."""
    if len(sys.argv) > 1:
        read(sys.argv[1], sys.argv[2])
        return
    given = os.environ.get("FORMATS")
    forms = given.split(",") if given else [*WRITERS, *SHAPES]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "transcripts.json"
        for form in forms:
            write(path, form, SIZE_MB * 10**6)
            command = [sys.executable, "-m", "bench.import_speed", str(path), form]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
