"""No way in which a process ends loses an event: the table in docs/agents.md.

No broker answers, so what a process has emitted must be in the spool. Each process
prints the text of an event when its `emit` has returned.
"""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from semloop.settings import Settings
from tests.sdk.sent_events import sent
from tests.support.documents import AGENTS
from tests.support.processes import ROOT
from tests.support.services import free_port
from tests.support.spools import unsent_texts

pytestmark = pytest.mark.process

HOST = """
import asyncio, atexit, multiprocessing, os, resource, signal, sys, threading

report = os.write
if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    atexit.register(lambda: report(2, f"dropped {agent.dropped}".encode()))

from semloop import Agent
agent = Agent("tester")

def emit(session, count=20):
    s = agent.session(session)
    for n in range(count):
        s.message("user", f"{session}-{n}")
        report(1, f"{session}-{n}\\n".encode())

def end_by(number):
    os.kill(os.getpid(), number)
    signal.pause()
"""
WITHOUT_BLOCKS = "any of these, on a file system that cannot reserve blocks"
WITHOUT_FOLDER = "with its disk: a container without a volume, a crash of the host"
# As on a network file system that cannot reserve blocks.
UNRESERVED = "from semloop.agent.spool import segment; segment._reserve = None\n"
# Waits until the thread that writes to the file has written it all.
WRITTEN = """
from pathlib import Path
from tests.support.spools import unsent_texts
while len(unsent_texts(Path(os.environ["SEMLOOP_SPOOL"]))) < 20: pass
"""
# The size of files is limited to 0, as on a disk that is full.
FULL = "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
KILL = "end_by(signal.SIGKILL)"
# Emits until another thread ends the process, or until the interpreter ends.
ENDLESS = """
many = threading.Event()
def endless():
    for n in range(10**9):
        emit(f"thread-{n}", 1)
        if n == 500:
            many.set()
"""


class Ending(NamedTuple):
    """How a process ends, with its exit status, and how many events it emits."""

    code: str
    status: int = 0
    events: int = 20


ENDINGS = {
    "normal end": Ending("emit('a')"),
    "exception": Ending("emit('a'); raise ValueError", 1),
    "`sys.exit`": Ending("emit('a'); sys.exit(3)", 3),
    "SIGTERM": Ending("emit('a'); end_by(signal.SIGTERM)", -signal.SIGTERM),
    "SIGINT (Ctrl-C)": Ending(
        # Python's own exit status depends on what other threads import meanwhile.
        "try: emit('a'); end_by(signal.SIGINT)\nexcept KeyboardInterrupt: sys.exit(130)",
        130,
    ),
    "SIGKILL (`kill -9`, out of memory)": Ending(
        f"{ENDLESS}\nthreading.Thread(target=endless, daemon=True).start()\n"
        "many.wait(); os.kill(os.getpid(), signal.SIGKILL)",
        -signal.SIGKILL,
        500,
    ),
    "`os._exit`": Ending("emit('a'); os._exit(4)", 4),
    "segmentation fault": Ending(
        "emit('a'); import ctypes; ctypes.string_at(0)", -signal.SIGSEGV
    ),
    "`os.abort`": Ending("emit('a'); os.abort()", -signal.SIGABRT),
    "`os.execv`": Ending(
        "emit('a'); os.execv(sys.executable, [sys.executable, '-c', ''])"
    ),
    "`multiprocessing.Pool`, which terminates its processes": Ending(
        "with multiprocessing.Pool(4) as pool:\n"
        "    pool.map(emit, [f'job-{n}' for n in range(8)])",
        events=8 * 20,
    ),
    "the same with `spawn`": Ending(
        "with multiprocessing.get_context('spawn').Pool(2) as pool:\n"
        "    pool.map(emit, [f'job-{n}' for n in range(8)])",
        events=8 * 20,
    ),
    "`multiprocessing.Process`": Ending(
        "emit('a')\nchild = multiprocessing.Process(target=emit, args=('b',))\n"
        "child.start(); child.join()",
        events=40,
    ),
    "child of `os.fork` that ends by `os._exit`": Ending(
        "emit('a')\nif not os.fork():\n    emit('b'); os._exit(0)\nos.wait(); emit('c')",
        events=60,
    ),
    "daemon thread that emits until the end": Ending(
        f"{ENDLESS}\nthreading.Thread(target=endless, daemon=True).start()\n"
        "many.wait()",
        events=500,
    ),
    "event emitted while the interpreter exits": Ending(
        "class Late:\n"
        "    def __init__(self): self.emit = emit\n"
        "    def __del__(self): self.emit('late')\n"
        "late = Late()\n"
        # Runs after the handler that sends and closes.
        "atexit._run_exitfuncs(); emit('later')",
        events=40,
    ),
    "end of an event loop, which cancels its tasks": Ending(
        "async def task():\n"
        "    try: await asyncio.sleep(60)\n"
        "    finally: emit('task')\n"
        "async def main():\n"
        "    running = asyncio.create_task(task()); await asyncio.sleep(0); emit('a')\n"
        "asyncio.run(main())",
        events=40,
    ),
}


def end(folder: Path, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program that ends as `code` does, without a broker if none is given."""
    script = folder / "host.py"
    indented = code.replace("\n", "\n    ")
    script.write_text(f"{HOST}\nif __name__ == '__main__':\n    {indented}\n")
    environ = {
        "PYTHONPATH": str(ROOT),
        "SEMLOOP_KAFKA": f"127.0.0.1:{free_port()}",
        "SEMLOOP_SPOOL": str(folder / "spool"),
        "SEMLOOP_AGENT_FLUSH_S": "0.1",
    }
    return subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env=environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def connected(settings: Settings) -> dict[str, str]:
    """Return the variables of a process that sends to the broker of a test."""
    return {
        "SEMLOOP_KAFKA": str(settings.kafka),
        "SEMLOOP_TOPIC": settings.topic,
        "SEMLOOP_AGENT_FLUSH_S": "20",
    }


@pytest.mark.parametrize("name", ENDINGS)
def test_events_are_in_the_spool_however_the_process_ends(
    tmp_path: Path, name: str
) -> None:
    code, status, events = ENDINGS[name]
    done = end(tmp_path, code)
    assert done.returncode == status, done.stderr
    emitted = done.stdout.split()
    assert len(emitted) >= events
    found = unsent_texts(tmp_path / "spool")
    assert len(found) == len(set(found))
    assert set(found) >= set(emitted)
    # A thread may be ended between the event and its report.
    assert len(found) <= len(emitted) + 1


@pytest.mark.parametrize("how", ["", WRITTEN + KILL])
def test_without_reserved_blocks_events_are_in_the_spool_once_they_are_written(
    tmp_path: Path, how: str
) -> None:
    done = end(tmp_path, f"{UNRESERVED}emit('a')\n{how}")
    assert done.returncode == (-signal.SIGKILL if how else 0), done.stderr
    assert unsent_texts(tmp_path / "spool") == done.stdout.split()
    assert len(done.stdout.split()) == 20


OBSTACLES: dict[str, tuple[str, dict[str, str]]] = {
    "full disk": (FULL, {}),
    "read-only disk": ("", {"SEMLOOP_SPOOL": "/proc/spool"}),
    "`SEMLOOP_SPOOL=off`": ("", {"SEMLOOP_SPOOL": "off"}),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_events_that_are_only_in_memory_are_lost_without_a_broker_and_counted(
    tmp_path: Path, name: str
) -> None:
    code, variables = OBSTACLES[name]
    done = end(tmp_path, f"{code}emit('a')", **variables)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("dropped 20")
    assert unsent_texts(tmp_path / "spool") == []
    assert not Path("off").exists()


@pytest.mark.parametrize("name", OBSTACLES)
def test_events_that_are_only_in_memory_are_sent_at_a_clean_end(
    tmp_path: Path, settings: Settings, name: str
) -> None:
    code, variables = OBSTACLES[name]
    done = end(tmp_path, f"{code}emit('a')", **connected(settings), **variables)
    assert done.returncode == 0, done.stderr
    logged, _, dropped = done.stderr.rpartition("dropped ")
    assert dropped == "0"
    assert logged.startswith("Events are only in memory: cannot write to") or (
        name == "`SEMLOOP_SPOOL=off`" and not logged
    )
    texts = [event["payload"]["content"] for event in sent(settings)]
    assert texts == done.stdout.split()


def test_without_the_folder_of_the_spool_remains_what_the_broker_has(
    tmp_path: Path, settings: Settings
) -> None:
    code = f"emit('a'); assert agent.flush(60); emit('b'); {KILL}"
    done = end(tmp_path, code, **connected(settings))
    assert done.returncode == -signal.SIGKILL, done.stderr
    shutil.rmtree(tmp_path / "spool")  # as with the container
    texts = [event["payload"]["content"] for event in sent(settings)]
    assert texts[:20] == [f"a-{n}" for n in range(20)]


def test_the_table_of_the_documents_has_these_endings() -> None:
    text = (ROOT / AGENTS).read_text("utf-8")
    table = text.partition("| when the process ends like this |")[2]
    rows = re.findall(r"^\| ([^|]+) \|", table.partition("\n\n")[0], re.MULTILINE)
    assert rows == [*ENDINGS, WITHOUT_BLOCKS, *OBSTACLES, WITHOUT_FOLDER]
