"""How long queries take, in the registry of the program that asks for it."""

from pathlib import Path

import duckdb
import pytest
from prometheus_client import CollectorRegistry

from schemas.metrics import OF_PROGRAMS
from semloop.lake.lake import Lake
from tests.operators.event_rows import event_row
from tests.semloop.written_lake import write

COUNT = "semloop_query_seconds_count"


def count(registry: CollectorRegistry, kind: str) -> float:
    return registry.get_sample_value(COUNT, {"kind": kind}) or 0.0


def test_queries_are_measured_with_their_results(lake_folder: str) -> None:
    registry = CollectorRegistry()
    with Lake(lake_folder, metrics=registry) as lake:
        relation = lake.sql("SELECT range AS n FROM range(3)")
        assert relation.fetchall() == [(0,), (1,), (2,)]
        assert lake.sql("SELECT 1 AS n").filter("n = 1").arrow().read_all().num_rows
        with pytest.raises(duckdb.Error):
            lake.sql("SELECT error('no')")
    (metric,) = OF_PROGRAMS
    (family,) = registry.collect()
    assert (family.name, family.type) == (metric.name, metric.kind)
    assert metric.action in family.documentation
    # The failed query counts, too.
    assert count(registry, "sql") == 3


def test_lakes_of_a_process_share_a_registry(lake_folder: str) -> None:
    registry = CollectorRegistry()
    for _ in range(2):
        with Lake(lake_folder, metrics=registry) as lake:
            lake.sql("SELECT 1").fetchall()
    assert count(registry, "sql") == 2


def test_recall_is_measured(lake_folder: str) -> None:
    registry = CollectorRegistry()
    with Lake(lake_folder, metrics=registry) as lake:
        lake.recall("flights")
    assert (count(registry, "recall"), count(registry, "sql")) == (1, 0)


def test_nothing_is_measured_without_a_registry(lake_folder: str) -> None:
    with Lake(lake_folder) as lake:
        assert lake.sql("SELECT 1").fetchall() == [(1,)]


@pytest.fixture
def lake_folder(tmp_path: Path) -> str:
    write(tmp_path, [event_row("message")])
    return str(tmp_path)
