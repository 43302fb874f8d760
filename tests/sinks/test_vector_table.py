"""The memory table on a folder and on the test run's S3 server."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from semloop import layout
from semloop.errors import LakeError, StorageUnavailable
from semloop.lake import generations
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.vectors.table import VectorTable
from tests.sinks.memory_builder import (
    DIMENSION,
    MODEL,
    SCHEMA,
    memory_rows,
    search_texts,
    stored,
    vector_table,
)
from tests.sinks.sink_contract import full_disk
from tests.support.lakes import local_settings
from tests.support.processes import ROOT, environment

WRITERS = 4


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest) -> Storage:
    if request.param == "folder":
        return Storage.of(local_settings(request))
    return Storage.of(request.getfixturevalue("s3_settings"))


@pytest.fixture
def folder(tmp_path: Path) -> Storage:
    storage = Storage(str(tmp_path / "la ke ü"))
    layout.bind(storage)
    return storage


def test_rows_are_read_back_unchanged(storage: Storage) -> None:
    text = "a\x00b é 🙂 '\"\\\n"
    rows = memory_rows(range(20), text=text, event_ids=["e", text], reward=0.1, seq=3)
    vector_table(storage).merge(rows)
    table = generations.open_table(generations.connect(storage), 1)
    assert table is not None
    found = table.to_arrow().cast(SCHEMA).sort_by("id")
    assert found.to_pylist() == rows.to_pylist()
    assert table.schema.metadata == SCHEMA.metadata


def test_merging_rows_again_changes_nothing(storage: Storage) -> None:
    table = vector_table(storage)
    for _ in range(2):
        table.merge(memory_rows(range(5)))
    table.merge(memory_rows(range(3, 8)))
    assert stored(storage) == [(number, 1) for number in range(8)]


def test_a_row_is_replaced_by_the_same_or_a_later_writer_only(folder: Storage) -> None:
    table = vector_table(folder)
    table.merge(memory_rows([1], writer=2, text="first"))
    assert texts(folder) == ["first"]
    table.merge(memory_rows([1], writer=1, text="of an older writer"))
    assert texts(folder) == ["first"]
    table.merge(memory_rows([1], writer=2, text="again"))
    assert texts(folder) == ["again"]
    table.merge(memory_rows([1], writer=3, text="later"))
    assert texts(folder) == ["later"]


def texts(storage: Storage) -> list[str]:
    table = generations.open_table(generations.connect(storage), 1)
    assert table is not None
    found: list[str] = table.to_arrow()["text"].to_pylist()
    return found


def test_the_last_row_of_an_id_is_stored(folder: Storage) -> None:
    table = vector_table(folder)
    for _ in range(2):  # First inserts, then updates.
        rows = [memory_rows([1, 2], text="early"), memory_rows([1], text="late")]
        table.merge(pa.concat_tables(rows))
        assert sorted(texts(folder)) == ["early", "late"]


def test_concurrent_writers_create_one_table_and_store_each_row_once(
    storage: Storage,
) -> None:
    """LanceDB stores two new rows of the same id, unless the id is a key."""

    def write(writer: int) -> None:
        table = vector_table(storage)
        for start in range(0, 100, 20):
            table.merge(memory_rows(range(start, start + 20), writer=writer))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(1, WRITERS + 1)))
    assert stored(storage) == [(number, WRITERS) for number in range(100)]
    table = generations.open_table(generations.connect(storage), 1)
    assert table is not None
    assert [index.columns for index in table.list_indices()] == [["words"]]


def test_largest_writer_reads_the_newest_version(storage: Storage) -> None:
    one, other = vector_table(storage), vector_table(storage)
    assert one.largest_writer() == 0
    other.merge(memory_rows(range(2), writer=7))
    assert one.largest_writer() == 7
    other.merge(memory_rows(range(2, 30), writer=3))
    assert one.largest_writer() == 7


def test_search_finds_terms_as_they_are_from_the_first_rows_on(
    storage: Storage,
) -> None:
    table = vector_table(storage)
    terms = "anna book os.path 退款 👍 " + "x" * 64
    table.merge(memory_rows([1], text="one", words=terms))
    table.merge(memory_rows([2], text="two", words="the weather books os path"))
    for term in terms.split()[1:]:
        assert search_texts(storage, term) == ["one"]
    assert search_texts(storage, "the") == ["two"]


def test_open_builds_an_index_that_a_crash_left_missing(folder: Storage) -> None:
    vector_table(folder).merge(memory_rows(range(3)))
    table = generations.open_table(generations.connect(folder), 1)
    assert table is not None
    table.drop_index("words_idx")
    vector_table(folder)
    assert [index.columns for index in table.list_indices()] == [["words"]]
    assert search_texts(folder, "2") == ["number 2"]


def test_open_completes_a_table_whose_creation_crashed(folder: Storage) -> None:
    path = Path(folder.uri("memories"), "generation-1.lance")
    (path / "_versions").mkdir(parents=True)
    (path / "data").mkdir()
    vector_table(folder).merge(memory_rows([1]))
    assert stored(folder) == [(1, 1)]


@pytest.mark.parametrize(
    ("dimension", "model"), [(DIMENSION, "other"), (DIMENSION + 1, MODEL)]
)
def test_vectors_of_another_model_are_reported_in_two_lines(
    folder: Storage, dimension: int, model: str
) -> None:
    vector_table(folder)
    with pytest.raises(LakeError) as error:
        VectorTable(folder, 1, dimension, model).open()
    assert str(error.value).splitlines() == [
        f"The memories have vectors of '{MODEL}' ({DIMENSION} numbers), "
        f"the settings name '{model}' ({dimension}).",
        "Run `semloop maintain reindex`: it fills a new table from the lake.",
    ]
    # Another generation has a table of its own.
    VectorTable(folder, 2, dimension, model).open()


def test_columns_of_another_version_are_reported(folder: Storage) -> None:
    connection = generations.connect(folder)
    connection.create_table(
        generations.table_name(1), schema=SCHEMA.append(pa.field("more", pa.int64()))
    )
    with pytest.raises(LakeError, match=r"other columns(.|\n)*maintain reindex"):
        vector_table(folder)


@pytest.mark.parametrize("fault", [np.nan, np.inf, 0.5])
def test_an_invalid_vector_is_never_stored(folder: Storage, fault: float) -> None:
    table = vector_table(folder)
    vector = [0.0] * (DIMENSION - 1) + [fault]
    with pytest.raises(AssertionError):
        table.merge(memory_rows([1], vector=vector))
    with pytest.raises(AssertionError):
        table.merge(memory_rows([1], vector=None))
    assert stored(folder) == []


def test_merge_asserts_the_schema_of_the_rows(folder: Storage) -> None:
    with pytest.raises(AssertionError):
        vector_table(folder).merge(memory_rows([1]).drop_columns("seq"))


def test_merging_no_rows_does_not_commit(folder: Storage) -> None:
    table = vector_table(folder)
    table.merge(memory_rows([]))
    assert table._table.version == 2


def test_a_full_disk_is_reported_and_the_rows_can_be_merged_later(
    folder: Storage,
) -> None:
    causes: list[tuple[str, str]] = []
    table = vector_table(folder, 0.2, on_retry=lambda *cause: causes.append(cause))
    rows = memory_rows(range(500), text="private")
    with full_disk(2_000), pytest.raises(StorageUnavailable) as error:
        table.merge(rows)
    assert error.value.what == (
        f"Cannot write table memories in {folder.root}: File too large"
        " (tried for 0.2 s)"
    )
    assert set(causes) == {("memories", "storage")}
    table.merge(rows)
    assert len(stored(folder)) == 500


def test_deleted_memories_are_reported(folder: Storage) -> None:
    table = vector_table(folder)
    shutil.rmtree(folder.uri("memories"))
    for call in (table.largest_writer, lambda: table.merge(memory_rows([1]))):
        with pytest.raises(LakeError) as error:
            call()
        assert "missing" in error.value.what
        assert "maintain reindex" in error.value.todo
    assert not table.exists()


WRITER_SCRIPT = """
import sys
from semloop.settings import load
from semloop.storage.location import Storage
from tests.sinks.memory_builder import vector_table, memory_rows
table = vector_table(Storage.of(load()))
print("open", flush=True)
for start in range(0, 10**6, 50):
    table.merge(memory_rows(range(start, start + 50), writer=int(sys.argv[1])))
    print(start, flush=True)
"""


def test_a_writer_that_is_killed_leaves_whole_commits(
    storage: Storage, settings: Settings, request: pytest.FixtureRequest
) -> None:
    named = "s3_settings" if storage.on_s3 else "settings"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER_SCRIPT, "1"],
        env=environment(request.getfixturevalue(named)),
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    assert lines[-1] == "100\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    found = stored(storage)
    assert len(found) >= 150
    assert found == [(number, 1) for number in range(len(found))]
    assert len(found) % 50 == 0
    # The next writer merges the last rows again.
    again = vector_table(storage)
    again.merge(memory_rows(range(100, 250), writer=2))
    assert [number for number, _ in stored(storage)][:250] == list(range(250))


def test_exists_does_not_create_the_table(storage: Storage) -> None:
    table = VectorTable(storage, 2, DIMENSION, "another model")
    assert not table.exists()
    assert not table.exists()
    vector_table(storage, generation=2)
    assert table.exists()
    assert not VectorTable(storage, 1, DIMENSION, MODEL).exists()


def test_episode_ids_returns_the_episodes_with_memories(folder: Storage) -> None:
    table = vector_table(folder)
    assert table.episode_ids() == set()
    table.merge(memory_rows(range(3), episode_id="under way"))
    for number, episode_id in enumerate(["a", "b", "b"], 3):
        row = memory_rows([number], kind="episode", episode_id=episode_id)
        table.merge(row)
    many = memory_rows(range(100, 150), kind="episode", episode_id="c")
    table.merge(many)
    assert table.episode_ids() == {"a", "b", "c"}
    shutil.rmtree(folder.uri("memories"))
    with pytest.raises(LakeError, match="maintain reindex"):
        table.episode_ids()
