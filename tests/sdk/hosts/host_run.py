"""Runs a host program, and judges what became of its events."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from semloop.agent.spool.folder import Owner, left_by_all
from semloop.agent.spool.names import spool_name
from semloop.settings import Settings
from tests.sdk.hosts.programs import Program
from tests.sdk.spooled import Drops, left_events
from tests.support.processes import environment
from tests.support.services import wait_for

# A program that takes longer hangs; it needs a second on an idle machine.
HANGS_S = 60
OUR_WARNINGS = re.compile(
    r"Kafka at \S+ is unavailable: .+\. Events are stored (in memory|in \S+)\."
    r"|Kafka at \S+ accepts events again\."
    r"|Events are stored in \S+ again\."
    r"|.+ This is logged once\."
)


@dataclass(frozen=True)
class Ended:
    """A host program that has ended.

    `status`: of its exit; `stderr`: without our warnings; `noted`: ids of the events
    whose `emit` returned; `dropped`: number that the program found counted.
    """

    program: Program
    status: int
    stderr: str
    warnings: tuple[str, ...]
    noted: tuple[str, ...] = field(repr=False)
    dropped: int
    spool: Path
    names: tuple[str, ...]
    seed: int

    def assert_ended_well(self) -> None:
        """Assert that the program reached its end, and printed only what is its own."""
        assert self.status == self.program.status, self
        # `faulthandler` prints where a program died.
        died = self.status in {-signal.SIGSEGV, -signal.SIGABRT}
        assert died or not self.stderr, self.stderr

    def left(self) -> list[str]:
        """Return the ids of the events in the spool, and empty it."""
        drops = Drops()
        events = left_events(self.spool, *self.names, drops=drops)
        assert not drops, drops
        return [json.loads(event)["id"] for event in events]

    def assert_kept(self, sent: Iterable[str] = ()) -> None:
        """Assert that each noted event was sent, or is left, once, or was counted.

        `sent`: ids of the events in the topic.
        """
        found = Counter([*self.left(), *sent])
        twice = [each for each, count in found.items() if count > 1]
        assert not twice, f"{len(twice)} events twice; {self}"
        missing = set(self.noted) - set(found)
        assert len(missing) <= self.dropped, f"{len(missing)} events lost; {self}"


def run_host(
    program: Program,
    folder: Path,
    settings: Settings,
    *,
    seed: int | None = None,
    kill_after_s: float | None = None,
    **environ: str,
) -> Ended:
    """Run a program until it and its children have ended.

    Args:
        program: a module of `programs/`.
        folder: for notes and output.
        settings: of the agent.
        seed: of random timing; a new one if not given. A failure shows it.
        kill_after_s: send SIGKILL after this time.
        environ: more of its environment.
    """
    seed = random.randrange(2**31) if seed is None else seed
    print(f"{program}: seed {seed}")
    notes = folder / "notes"
    notes.mkdir(exist_ok=True)
    spool = Path(settings.agent.spool)
    environ = {
        "HOST_NOTES": str(notes),
        "HOST_SEED": str(seed),
        "SEMLOOP_SPOOL": str(spool),
        "SEMLOOP_SPOOL_MB": str(settings.agent.spool_mb),
        "SEMLOOP_AGENT_QUEUE_MB": str(settings.agent.queue_mb),
        "SEMLOOP_AGENT_FLUSH_S": "0.3",
        **environ,
    }
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                f"tests.sdk.hosts.programs.{program.name}",
                program.argument,
            ],
            env=environment(settings, **environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        status = process.wait(HANGS_S if kill_after_s is None else kill_after_s)
    except subprocess.TimeoutExpired:
        if kill_after_s is None:
            _dump_stacks(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        text = (folder / "stderr").read_text("utf-8", "replace")
        assert kill_after_s is not None, f"{program} hangs, seed {seed}:\n{text}"
    wait_for(f"children of {program}", lambda: not _owned(spool))
    text = (folder / "stderr").read_text("utf-8", "replace")
    lines = [line for line in text.splitlines() if not line.startswith("host: ")]
    warnings = tuple(line for line in lines if OUR_WARNINGS.fullmatch(line))
    return Ended(
        program,
        status,
        "\n".join(line for line in lines if not OUR_WARNINGS.fullmatch(line)),
        warnings,
        tuple(_lines(notes / "events")),
        sum(map(int, _lines(notes / "dropped"))),
        spool,
        (spool_name(settings),),
        seed,
    )


def _dump_stacks(group: int) -> None:
    """Let all processes of a group print what their threads do."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGUSR1)
        time.sleep(1)


def _owned(spool: Path) -> bool:
    """Return True if the owner of a file in the spool lives."""
    for left in left_by_all(spool):
        try:
            Owner(spool, left.stem).remove()
        except BlockingIOError:
            return True
        except OSError:
            continue
    return False


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").split() if path.exists() else []
