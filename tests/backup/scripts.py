"""The commands of docs/backup.md, run as they stand there.

Where a tool is not installed, its order is followed by `shutil` or `boto3`.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import boto3

from tests.support.documents import BACKUP, fences

LOGS = ("episodes", "events", "dead_letters", "dead_letter_actions", "streams")
LEFT_OUT = ("_local/*", "_activity/*", "_writers/*", "_lake.json")
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

    def names(self, folder: str = "") -> Iterator[str]:
        """Yield the names of the files below a folder, in the order of the tool."""
        if not self.root.startswith("s3://"):
            root = Path(self.root)
            yield from (
                path.relative_to(root).as_posix()
                for path in (root / folder).rglob("*")
                if path.is_file()
            )
            return
        bucket, _, prefix = self.root.removeprefix("s3://").partition("/")
        pages = boto3.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=f"{prefix}/{folder}"):
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


def emulated(lake: str, place: str) -> None:
    """Copy in the order of the page, without a tool."""
    source, target = Place(lake), Place(place)

    def take(folder: str, wanted: Callable[[str], bool]) -> None:
        for name in [name for name in source.names(folder) if wanted(name)]:
            if (data := source.read(name)) is not None:
                target.write(name, data)

    for table in LOGS:
        take(f"{table}/_delta_log", lambda name: "_last_checkpoint" not in name)
    take("memories", lambda name: "/_versions/" in name)
    take("memories", lambda name: "/_versions/" not in name)
    take("", _is_rest)


def _is_rest(name: str) -> bool:
    left_out = ("*_delta_log/*", "memories/*", *LEFT_OUT)
    return not any(fnmatch(name, pattern) for pattern in left_out)
