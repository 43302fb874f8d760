from semloop.settings import Settings
from tests.semloop.recall.a_memory_lake import MemoryLake, a_message, closed


def test_memories_in_a_bucket_are_recalled_and_queried_in_sql(
    s3_settings: Settings,
) -> None:
    settings = s3_settings.replace(embedder="hashing")
    lake = MemoryLake(settings)
    with lake.open() as opened:
        assert opened.recall("trip").num_rows == 0
        assert opened.sql("FROM memories").fetchall() == []
        lake.remember(a_message("trip one", "a"))
        lake.commit(closed("a", reward=0.5))
        lake.remember(a_message("trip two", "b"))
        found = opened.recall("trip")
        rows = opened.sql("SELECT text, reward FROM memories").fetchall()
        statements = opened.init_sql()
    assert found["text"].to_pylist() == ["trip one"]
    assert rows == [("trip one", 0.5)]
    assert not any(
        str(lake.storage.options["aws_secret_access_key"]) in s for s in statements
    )
