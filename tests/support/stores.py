"""S3 servers for tests: started by the session and stopped by pid.

By default tests use moto, in a separate process. With `SEMLOOP_TEST_SERVICES`, a folder
with `s3/start PORT DIR [minio|versitygw]`, they use a real server.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import boto3
from botocore.config import Config

from semloop.kafka.clients import listens
from tests.support.services import SERVICES, free_port, kill, wait_for

KEY, SECRET = "semloop", "semloop-secret"
BUCKET = "lake"


class Store(Protocol):
    """An S3 server of one session, or of one test that kills it."""

    kind: str
    endpoint: str
    pid: int


def variables(endpoint: str) -> dict[str, str]:
    """Return the `AWS_*` variables for a server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


class Moto:
    """S3 in memory, in a Python process: the default server."""

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
    """A real S3 server from the services folder; it keeps its data across `kill`."""

    def __init__(
        self,
        folder: Path,
        services: str,
        kind: str = "minio",
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        """Start the server; `tls`: PEM files of certificate and key, for https."""
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
        """Start the server, also after `kill`, on the same port and data."""
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
    """Start the S3 server that this test run is configured to use."""
    return RealStore(folder, SERVICES) if SERVICES else Moto(folder)


def make_bucket() -> None:
    """Create the bucket of the tests on the server of the `AWS_*` variables."""
    config = Config(retries={"total_max_attempts": 5, "mode": "standard"})
    client = boto3.client("s3", config=config, verify=os.environ.get("AWS_CA_BUNDLE"))
    with (
        contextlib.closing(client),
        contextlib.suppress(
            client.exceptions.BucketAlreadyOwnedByYou,
            client.exceptions.BucketAlreadyExists,
        ),
    ):
        client.create_bucket(Bucket=BUCKET)
