"""Writes a lake with the flow's own code, without a broker, and runs commands."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from operators.decoding.decode import decode
from schemas.metrics import Metrics
from semloop.command.cli import main
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from sinks.archive_tables import ArchiveTables
from sinks.commit_loop import CommitLoop
from sinks.flow_tables import FlowContext
from tests.support.builders import LOG, NOW, a_poll, an_event


class Writer:
    """A worker of `archive`; each `write` is a commit."""

    def __init__(
        self, settings: Settings | None = None, partitions: Sequence[int] = (0, 1)
    ) -> None:
        self.settings = settings or load()
        self.storage = Storage.of(self.settings)
        self.now = datetime.now(UTC)
        self._next = dict.fromkeys(partitions, 0)
        context = FlowContext(
            self.settings, self.storage, Metrics(), self._time, boot_clock=lambda: None
        )
        tables = ArchiveTables(context, LOG, list(partitions))
        self.loop = CommitLoop(self.settings, tables, self._time)
        offsets = tables.take_over()
        tables.report_activity(0, list(offsets))
        self._next |= {p.number: o + 1 for p, o in offsets.items()}

    def _time(self) -> float:
        return self.now.timestamp()

    def write(self, *values: object, partition: int = 0, **options: Any) -> None:
        """Commit these records; invalid ones become dead letters."""
        options.setdefault("kafka_ts", NOW)
        first = self._next[partition]
        self._next[partition] += len(values)
        polled = a_poll(*values, partition=partition, first=first, **options)
        now = options["kafka_ts"]
        decoded = decode(polled, now, self.settings.archive.record_bytes_max)
        last = replace(decoded.progress, last=True)
        self.loop.add(replace(decoded, progress=last))


class Semloop:
    """Runs the command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> str:
        """Return the output of a command, which must succeed with an empty stderr."""
        code, out, err = self.run(*arguments)
        assert (code, err) == (0, "")
        return out

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main(list(arguments))
        out, err = self._capsys.readouterr()
        return int(exited.value.code or 0), out, err

    def refused(self, *arguments: str) -> tuple[str, str]:
        """Return the error and what to do, for a command that must fail."""
        code, out, err = self.run(*arguments)
        assert (code, out) == (1, "")
        what, todo = err.splitlines()
        return what, todo


def named(*names: object, **fields: Any) -> list[dict[str, Any]]:
    """Build one event of each of these agents."""
    return [an_event(agent=f"{name}", **fields) for name in names]
