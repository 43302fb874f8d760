"""`Lake.sql`, and the views `events` and `dead_letters`."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from schemas import arrow
from semloop import Lake, tables
from semloop.errors import LakeError
from semloop.event import EVENT_TYPES
from semloop.extras import extension
from semloop.settings import Settings

NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)
STAMPS = {"kafka_ts": NOON, "ingested_at": NOON, "date": date(2026, 1, 2)}


def an_event(event_id: str = "e1", **fields: Any) -> dict[str, Any]:
    return {
        "event_id": event_id, "type": "message", "ts": NOON, "agent": "booker",
        "session_id": "s1", "namespace": "default", "text": "hello", "payload": "{}",
        "topic": "agent-events", "topic_id": "t", "kafka_partition": 0,
        "kafka_offset": 0, **STAMPS, **fields,
    }  # fmt: skip


def append(lake: Path, table: str, *rows: dict[str, Any]) -> None:
    schema = arrow.arrow_schema(tables.TABLES[table].columns)
    write_deltalake(
        str(lake / table),
        pa.Table.from_pylist(list(rows), schema=schema),
        mode="append",
        partition_by=["date"] if "date" in schema.names else None,
    )


def test_an_empty_lake_has_empty_typed_views(tmp_path: Path) -> None:
    with Lake(tmp_path) as lake:
        assert lake.sql("FROM events").fetchall() == []
        types = dict(lake.sql("SELECT column_name, column_type FROM (DESCRIBE events)")
                     .fetchall())  # fmt: skip
    assert types["ts"] == "TIMESTAMP WITH TIME ZONE"
    assert types["tags"] == "VARCHAR[]"
    assert types["reward"] == "DOUBLE"


def test_the_view_events_has_every_column_but_the_partition_column(
    tmp_path: Path,
) -> None:
    with Lake(tmp_path) as lake:
        columns = lake.sql("FROM events").columns
    assert columns == [name for name in tables.EVENTS if name != "date"]


def test_events_of_all_types_are_read_unchanged(tmp_path: Path) -> None:
    rows = [
        an_event(kind, type=kind, tags=["a", "b c"], reward=0.5, input_tokens=2**62)
        for kind in EVENT_TYPES
    ]
    append(tmp_path, "events", *rows)
    with Lake(tmp_path) as lake:
        result = lake.sql("SELECT event_id, ts, tags, reward, input_tokens FROM events")
        found = sorted(result.fetchall())
    assert found == [
        (kind, NOON, ["a", "b c"], 0.5, 2**62) for kind in sorted(EVENT_TYPES)
    ]


def test_timestamps_are_utc_in_any_local_time_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    append(tmp_path, "events", an_event())
    with Lake(tmp_path) as lake:
        found = lake.sql("SELECT ts::VARCHAR, date_part('hour', ts) FROM events")
        assert found.fetchall() == [("2026-01-02 12:00:00.123456+00", 12)]


def test_nul_and_other_special_characters_are_read_unchanged(tmp_path: Path) -> None:
    text = "a\x00b\x1b[31m é 🙂 '\"\\"
    append(tmp_path, "events", an_event(text=text))
    with Lake(tmp_path) as lake:
        found = lake.sql("SELECT text, length(text) FROM events WHERE text = ?", [text])
        assert found.fetchall() == [(text, len(text))]


def test_raw_bytes_are_read_unchanged(tmp_path: Path) -> None:
    raw = bytes(range(256))
    letter = {"id": "d1", "reason": "not_json", "raw": raw, "key": b"", **STAMPS}
    append(tmp_path, "dead_letters", letter)
    with Lake(tmp_path) as lake:
        assert lake.sql("SELECT raw, key FROM dead_letters").fetchall() == [(raw, b"")]


def test_the_payload_can_be_queried_as_json(tmp_path: Path) -> None:
    payload = '{"tool":"search","arguments":{"city":"Oslo","n":[1,2]},"x":"\\u0000"}'
    append(tmp_path, "events", an_event(payload=payload))
    with Lake(tmp_path) as lake:
        found = lake.sql(
            "SELECT payload->>'$.tool', payload->>'$.arguments.city', "
            "payload->'$.arguments.n[1]', payload->>'$.x' FROM events"
        )
        assert found.fetchall() == [("search", "Oslo", "2", "\x00")]


def test_a_new_commit_is_visible_without_reopening(tmp_path: Path) -> None:
    append(tmp_path, "events", an_event("e1"))
    with Lake(tmp_path) as lake:
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(1,)]
        append(tmp_path, "events", an_event("e2"))
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(2,)]


def test_a_table_that_is_created_later_is_visible(tmp_path: Path) -> None:
    with Lake(tmp_path) as lake:
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(0,)]
        append(tmp_path, "events", an_event())
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(1,)]


def test_a_table_that_is_created_while_a_result_is_half_read_is_visible(
    tmp_path: Path,
) -> None:
    append(tmp_path, "events", *(an_event(f"e{n}") for n in range(5_000)))
    with Lake(tmp_path) as lake:
        half_read = lake.sql("FROM events")
        half_read.fetchone()
        append(tmp_path, "dead_letters", {"id": "d1", "topic_id": "t", **STAMPS})
        assert lake.sql("SELECT id FROM dead_letters").fetchall() == [("d1",)]


def test_a_table_that_is_being_created_is_empty(tmp_path: Path) -> None:
    (tmp_path / "events" / "_delta_log").mkdir(parents=True)
    with Lake(tmp_path) as lake:
        assert lake.sql("FROM events").fetchall() == []


def test_a_column_that_an_older_table_lacks_is_null_until_it_is_added(
    tmp_path: Path,
) -> None:
    old = arrow.EVENTS.remove(arrow.EVENTS.get_field_index("importance"))
    table = pa.Table.from_pylist([an_event("e1")], schema=old)
    write_deltalake(str(tmp_path / "events"), table, partition_by=["date"])
    with Lake(tmp_path) as lake:
        query = "SELECT event_id, importance FROM events ORDER BY 1"
        assert lake.sql(query).fetchall() == [("e1", None)]
        newer = pa.Table.from_pylist(
            [an_event("e2", importance=0.25)], schema=arrow.EVENTS
        )
        write_deltalake(
            str(tmp_path / "events"), newer, mode="append", schema_mode="merge"
        )
        assert lake.sql(query).fetchall() == [("e1", None), ("e2", 0.25)]


def test_a_column_of_a_newer_version_is_ignored(tmp_path: Path) -> None:
    append(tmp_path, "events", an_event("e1"))
    with Lake(tmp_path) as lake:
        newer = pa.Table.from_pylist(
            [an_event("e2", mood="calm")],
            schema=arrow.EVENTS.append(pa.field("mood", pa.string())),
        )
        write_deltalake(
            str(tmp_path / "events"), newer, mode="append", schema_mode="merge"
        )
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(2,)]


def test_parameters_are_values(tmp_path: Path) -> None:
    append(tmp_path, "events", an_event(agent="x' OR true --"), an_event("e2"))
    with Lake(tmp_path) as lake:
        by_name = lake.sql(
            "SELECT event_id FROM events WHERE agent = $agent",
            {"agent": "x' OR true --"},
        )
        assert by_name.fetchall() == [("e1",)]


def test_a_result_can_be_read_as_arrow(tmp_path: Path) -> None:
    append(tmp_path, "events", an_event())
    with Lake(tmp_path) as lake:
        table = pa.table(lake.sql("SELECT ts FROM events").arrow())
    assert table.schema.field("ts").type == pa.timestamp("us", "UTC")


def test_a_statement_without_a_result_returns_no_rows(tmp_path: Path) -> None:
    with Lake(tmp_path) as lake:
        assert lake.sql("SET threads = 1").fetchall() == []
        # An empty relation is falsy; it must not be replaced.
        assert lake.sql("SELECT event_id FROM events").columns == ["event_id"]


def test_a_wrong_query_raises_duckdbs_own_error(tmp_path: Path) -> None:
    with Lake(tmp_path) as lake:
        with pytest.raises(duckdb.CatalogException, match="evnts does not exist"):
            lake.sql("FROM evnts")
        with pytest.raises(duckdb.CatalogException, match="query does not exist"):
            lake.sql("FROM query")


@pytest.mark.parametrize("name", ["l k", "l'k", "lü#k?"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    append(tmp_path / name, "events", an_event())
    with Lake(tmp_path / name) as lake:
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(1,)]


def test_a_missing_folder_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(LakeError) as caught:
        Lake(tmp_path / "nothing")
    assert caught.value.what == f"There is no lake at {tmp_path / 'nothing'}."
    assert "SEMLOOP_LAKE" in caught.value.todo
    assert not (tmp_path / "nothing").exists()


def test_the_lake_is_that_of_the_settings_unless_a_path_is_given(
    tmp_path: Path,
) -> None:
    append(tmp_path / "a", "events", an_event())
    (tmp_path / "b").mkdir()
    settings = Settings(lake=str(tmp_path / "a"))
    for lake, count in (
        (Lake(settings=settings), 1),
        (Lake(tmp_path / "b", settings), 0),
    ):
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(count,)]
        lake.close()


@pytest.mark.parametrize("with_query", [False, True])
def test_a_closed_lake_opens_no_database(tmp_path: Path, with_query: bool) -> None:
    lake = Lake(tmp_path)
    if with_query:
        assert lake.sql("SELECT 1").fetchall() == [(1,)]
    lake.close()
    lake.close()
    lake.interrupt()
    with pytest.raises(LakeError, match="closed"):
        lake.sql("SELECT 1")


def test_views_returns_the_question_that_each_view_answers(tmp_path: Path) -> None:
    with Lake(tmp_path) as lake:
        views = lake.views()
    assert set(views) >= {"events", "memories", "dead_letters", "episodes", "sessions"}
    for question in views.values():
        assert "?" in question


# DuckDB hashes the whole extension, of 80 MB, to verify its signature.
@pytest.mark.slow
def test_another_duckdb_opens_the_lake_with_the_statements_of_init_sql(
    tmp_path: Path,
) -> None:
    append(tmp_path, "events", an_event())
    with Lake(tmp_path) as lake:
        statements = lake.init_sql()
    with duckdb.connect() as plain:
        for statement in statements:
            plain.execute(statement)
        assert plain.sql("SELECT event_id FROM events").fetchall() == [("e1",)]
        assert plain.sql("FROM dead_letters").fetchall() == []


def test_a_lake_loads_no_unsigned_extension_for_its_users(tmp_path: Path) -> None:
    unsigned = tmp_path / "own.duckdb_extension"
    signed = Path(extension("delta")).read_bytes()
    # The signature is in the last 256 bytes of the file.
    unsigned.write_bytes(signed[:-256] + bytes(256))
    with Lake(str(tmp_path)) as lake:
        with pytest.raises(
            duckdb.Error, match="signature is either missing or invalid"
        ):
            lake.sql(f"LOAD '{unsigned}'")
        with pytest.raises(duckdb.Error, match="while database is running"):
            lake.sql("SET allow_unsigned_extensions = true")
