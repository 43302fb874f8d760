"""The commands of docs/backup.md, run as they stand there.

Where a tool is not installed, its order is followed by `shutil` or `boto3`.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import boto3

from tests.support.documents import BACKUP, fences

# Selects files by name.
Step = Callable[[str], bool]
LEFT_OUT = ("_local/*", "_activity/*", "_writers/*", "_lake.json")
NOT_REST = ("*_delta_log/*", "memories/*", *LEFT_OUT)


def log_of(table: str) -> Step:
    """Return the step that copies the log of a table."""
    return lambda name: (
        name.startswith(f"{table}/_delta_log/")
        and not name.endswith("_last_checkpoint")
    )


def is_rest(name: str) -> bool:
    """Return whether the last step copies a file."""
    return not any(fnmatch(name, pattern) for pattern in NOT_REST)


MEMORIES: tuple[Step, ...] = (
    lambda name: fnmatch(name, "memories/*/_versions/*"),
    lambda name: fnmatch(name, "memories/*") and "/_versions/" not in name,
)
EPISODES, EVENTS, LETTERS = map(log_of, ("episodes", "events", "dead_letters"))
METRICS = log_of("agent_metrics")
OTHERS = tuple(map(log_of, ("dead_letter_actions", "streams")))
# The order of the page.
ORDER = (EPISODES, METRICS, EVENTS, LETTERS, *OTHERS, *MEMORIES, is_rest)
RCLONE_STORE = {
    "RCLONE_CONFIG_STORE_TYPE": "s3",
    "RCLONE_CONFIG_STORE_PROVIDER": "Other",
    "RCLONE_CONFIG_STORE_ENV_AUTH": "true",
}
# Exit codes of tools that copied everything but files that disappeared meanwhile.
MOSTLY_DONE = {
    "cp": {0, 1},
    "rsync": {0, 23, 24},
    "rclone": {0, 1, 3},
    "aws": {0, 1, 2, 255},
}


def copy(tool: str, lake: str, place: str) -> None:
    """Copy a lake to a folder or prefix as the page says for a tool."""
    if not place.startswith("s3://"):
        Path(place).mkdir(parents=True, exist_ok=True)
    if shutil.which(tool) is None:
        emulated(lake, place)
        return
    (block,) = (b for b in fences(BACKUP) if b.text.startswith(f"# {tool}: "))
    environ = dict(os.environ)
    if tool == "rclone" and (endpoint := os.environ.get("AWS_ENDPOINT_URL")):
        environ |= {**RCLONE_STORE, "RCLONE_CONFIG_STORE_ENDPOINT": endpoint}
        lake, place = (each.replace("s3://", "store:") for each in (lake, place))
    done = subprocess.run(
        ["sh", "-c", block.text],
        env=environ | {"LAKE": lake, "COPY": place},
        capture_output=True,
        text=True,
    )
    assert done.returncode in MOSTLY_DONE[tool], done.stderr


@dataclass
class Place:
    """A folder or a prefix."""

    root: str

    def names(self) -> Iterator[str]:
        """Yield the names of all files."""
        if not self.root.startswith("s3://"):
            root = Path(self.root)
            yield from (
                path.relative_to(root).as_posix()
                for path in root.rglob("*")
                if path.is_file()
            )
            return
        bucket, _, prefix = self.root.removeprefix("s3://").partition("/")
        pages = boto3.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=f"{prefix}/"):
            for item in page.get("Contents", ()):
                yield item["Key"].removeprefix(f"{prefix}/")

    def read(self, name: str) -> bytes | None:
        """Return a file; None if it has disappeared."""
        if not self.root.startswith("s3://"):
            try:
                return Path(self.root, name).read_bytes()
            except FileNotFoundError:
                return None
        bucket, _, prefix = self.root.removeprefix("s3://").partition("/")
        client = boto3.client("s3")
        try:
            found = client.get_object(Bucket=bucket, Key=f"{prefix}/{name}")
        except client.exceptions.NoSuchKey:
            return None
        data: bytes = found["Body"].read()
        return data

    def write(self, name: str, data: bytes) -> None:
        if not self.root.startswith("s3://"):
            path = Path(self.root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return
        bucket, _, prefix = self.root.removeprefix("s3://").partition("/")
        boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=data)


def emulated(
    lake: str,
    place: str,
    steps: Sequence[Step] = ORDER,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Copy in steps, by default in the order of the page, without a tool.

    Args:
        lake: folder or prefix.
        place: where to copy it.
        steps: each selects files by name.
        between: called between any two steps.
    """
    source, target = Place(lake), Place(place)
    for number, step in enumerate(steps):
        if number:
            between()
        for name in [name for name in source.names() if step(name)]:
            if (data := source.read(name)) is not None:
                target.write(name, data)
