"""S3 servers for tests: started by the run, stopped by pid, never found by chance.

A stranger's run uses moto, in a process of its own. With `SEMLOOP_TEST_SERVICES`, a
folder with `s3/start PORT DIR [minio|versitygw]`, it is a real server.
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from semloop.kafka.clients import listens
from semloop.settings import load
from semloop.storage.location import Storage
from tests.services import SERVICES, free_port, kill, wait_for

KEY, SECRET = "semloop", "semloop-secret"
BUCKET = "lake"


class Store(Protocol):
    """An S3 server of one run, or of one test that wants to hurt it."""

    kind: str
    endpoint: str
    pid: int


def variables(endpoint: str) -> dict[str, str]:
    """The `AWS_*` variables with which everybody reaches a server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


class Moto:
    """S3 in Python, in memory: what a stranger's run has."""

    kind = "moto"

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        with (folder / "moto.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", f"-p{port}"],
                stdout=log,
                stderr=log,
            )
        self.pid = self.process.pid
        wait_for("moto", lambda: listens(f"127.0.0.1:{port}"))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class RealStore:
    """A real S3 server from the services folder; keeps its data across `kill`."""

    def __init__(
        self,
        folder: Path,
        services: str,
        kind: str = "minio",
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        """`tls`: certificate and key, PEM files, to speak https with."""
        self.kind = kind
        self._start = Path(services, "s3", "start")
        self._folder = folder / kind
        self._port = free_port()
        self._environ = os.environ | {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }
        if tls:
            self._environ |= {"S3_CERT": str(tls[0]), "S3_KEY": str(tls[1])}
        self.endpoint = f"http{'s' if tls else ''}://127.0.0.1:{self._port}"
        self.pid = 0
        self.start()

    def start(self) -> None:
        """Start it, at first or again after `kill`, on the same port and data."""
        started = subprocess.run(
            [str(self._start), str(self._port), str(self._folder), self.kind],
            env=self._environ,
            capture_output=True,
            text=True,
        )
        assert started.returncode == 0, started.stderr
        self.pid = int(started.stdout)

    def kill(self) -> None:
        kill(self.pid)


def start_store(folder: Path) -> Moto | RealStore:
    """The S3 server that this run was asked to test with."""
    return RealStore(folder, SERVICES) if SERVICES else Moto(folder)


def make_bucket() -> None:
    """Make the bucket of the tests; the `AWS_*` variables say where."""
    files = Storage.of(load(lake=f"s3://{BUCKET}")).files()
    # Another worker of the test run may make it at the same time.
    with suppress(FileExistsError):
        # Not `mkdir`: it names the region, which for us-east-1 Amazon and moto refuse.
        files.call_s3("create_bucket", Bucket=BUCKET)
