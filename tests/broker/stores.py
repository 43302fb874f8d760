"""Stores of the broker, and what ends them."""

import os
from pathlib import Path

import pytest

from semloop.broker.catalog import create
from semloop.broker.store import Store
from tests.broker.records import a_batch, offsets

BOUND = 100_000
GROUP = "semloop-archive"


def opened(path: Path, bytes_max: int = BOUND) -> Store:
    return Store(path, bytes_max, GROUP)


def a_store(path: Path, records: int = 3) -> Store:
    store = opened(path)
    create(store, "t", 2, {})
    for _ in range(records):
        store.append("t", 0, a_batch())
    return store


def crash(store: Store) -> None:
    """End a store as SIGKILL does: nothing is written."""
    for log in store.topics["t"].partitions:
        for each in log.segments:
            each.close()
    os.close(store.folder)


def read(store: Store, offset: int = 0) -> list[int]:
    return offsets(store.log("t", 0).read(offset, BOUND))


def restart_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a crashed store take its end for a power failure."""
    for module in ("state", "store"):
        name = f"semloop.broker.{module}.boot_id"
        monkeypatch.setattr(name, lambda: "another boot")
