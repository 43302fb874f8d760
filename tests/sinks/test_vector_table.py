"""The table of memories on a folder and on the run's S3 server."""

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

from semloop.errors import LakeError, StorageUnavailable
from semloop.lake import generations
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.vectors.table import VectorTable
from tests.processes import ROOT, environment
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

WRITERS = 4


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest) -> Storage:
    named = "settings" if request.param == "folder" else "s3_settings"
    return Storage.of(request.getfixturevalue(named))


@pytest.fixture
def folder(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "la ke ü"))


def test_rows_come_back_as_they_went_in(storage: Storage) -> None:
    odd = "a\x00b é 🙂 '\"\\\n"
    rows = memory_rows(range(20), text=odd, event_ids=["e", odd], reward=0.1, seq=3)
    vector_table(storage).merge(rows)
    table = generations.open_table(generations.connect(storage), 1)
    assert table is not None
    found = table.to_arrow().cast(SCHEMA).sort_by("id")
    assert found.to_pylist() == rows.to_pylist()
    assert table.schema.metadata == SCHEMA.metadata


def test_merging_again_changes_nothing(storage: Storage) -> None:
    table = vector_table(storage)
    for _ in range(2):
        table.merge(memory_rows(range(5)))
    table.merge(memory_rows(range(3, 8)))
    assert stored(storage) == [(number, 1) for number in range(8)]


def test_a_row_gives_way_to_the_same_or_a_later_writer_only(folder: Storage) -> None:
    table = vector_table(folder)
    table.merge(memory_rows([1], writer=2, text="first"))
    assert texts(folder) == ["first"]
    table.merge(memory_rows([1], writer=1, text="of a zombie"))
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


def test_of_rows_with_one_id_the_last_counts(folder: Storage) -> None:
    table = vector_table(folder)
    for _ in range(2):  # new, then known
        rows = [memory_rows([1, 2], text="early"), memory_rows([1], text="late")]
        table.merge(pa.concat_tables(rows))
        assert sorted(texts(folder)) == ["early", "late"]


def test_writers_who_start_at_once_leave_one_table_and_each_row_once(
    storage: Storage,
) -> None:
    """LanceDB keeps both of two new rows of one id, unless the id is a key."""

    def write(writer: int) -> None:
        table = vector_table(storage)
        for start in range(0, 100, 20):
            table.merge(memory_rows(range(start, start + 20), writer=writer))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(1, WRITERS + 1)))
    assert stored(storage) == [(number, WRITERS) for number in range(100)]
    table = generations.open_table(generations.connect(storage), 1)
    assert table is not None
    assert [index.columns for index in table.list_indices()] == [["search_text"]]


def test_the_largest_writer_is_told_as_it_is_now(storage: Storage) -> None:
    one, other = vector_table(storage), vector_table(storage)
    assert one.largest_writer() == 0
    other.merge(memory_rows(range(2), writer=7))
    assert one.largest_writer() == 7
    other.merge(memory_rows(range(2, 30), writer=3))
    assert one.largest_writer() == 7


def test_words_are_found_by_their_stems_in_the_first_rows(storage: Storage) -> None:
    table = vector_table(storage)
    table.merge(memory_rows([1], text="one", search_text="anna: she books flights"))
    table.merge(memory_rows([2], text="two", search_text="anna: the weather"))
    assert search_texts(storage, "the flight was booked") == ["one"]


def test_an_open_that_died_before_its_index_is_healed(folder: Storage) -> None:
    vector_table(folder).merge(memory_rows(range(3)))
    table = generations.open_table(generations.connect(folder), 1)
    assert table is not None
    table.drop_index("search_text_idx")
    vector_table(folder)
    assert [index.columns for index in table.list_indices()] == [["search_text"]]
    assert search_texts(folder, "2") == ["number 2"]


def test_a_table_that_died_while_it_was_made_is_made(folder: Storage) -> None:
    path = Path(folder.uri("memories"), "generation-1.lance")
    (path / "_versions").mkdir(parents=True)
    (path / "data").mkdir()
    vector_table(folder).merge(memory_rows([1]))
    assert stored(folder) == [(1, 1)]


@pytest.mark.parametrize(
    ("dimension", "model"), [(DIMENSION, "other"), (DIMENSION + 1, MODEL)]
)
def test_vectors_of_another_model_are_told_in_two_lines(
    folder: Storage, dimension: int, model: str
) -> None:
    vector_table(folder)
    with pytest.raises(LakeError) as told:
        VectorTable(folder, 1, dimension, model).open()
    assert str(told.value).splitlines() == [
        f"The memories have vectors of '{MODEL}' ({DIMENSION} numbers), "
        f"the settings name '{model}' ({dimension}).",
        "Run `semloop maintain reindex`: it fills a new table from the lake.",
    ]
    # Another generation is another table.
    VectorTable(folder, 2, dimension, model).open()


def test_columns_of_another_version_are_told(folder: Storage) -> None:
    connection = generations.connect(folder)
    connection.create_table(
        generations.table_name(1), schema=SCHEMA.append(pa.field("more", pa.int64()))
    )
    with pytest.raises(LakeError, match=r"other columns(.|\n)*maintain reindex"):
        vector_table(folder)


@pytest.mark.parametrize("fault", [np.nan, np.inf, 0.5])
def test_a_vector_that_cannot_be_is_never_stored(folder: Storage, fault: float) -> None:
    table = vector_table(folder)
    vector = [0.0] * (DIMENSION - 1) + [fault]
    with pytest.raises(AssertionError):
        table.merge(memory_rows([1], vector=vector))
    with pytest.raises(AssertionError):
        table.merge(memory_rows([1], vector=None))
    assert stored(folder) == []


def test_rows_of_another_schema_are_a_mistake(folder: Storage) -> None:
    with pytest.raises(AssertionError):
        vector_table(folder).merge(memory_rows([1]).drop_columns("seq"))


def test_no_rows_are_no_commit(folder: Storage) -> None:
    table = vector_table(folder)
    table.merge(memory_rows([]))
    assert table._table.version == 2


def test_a_full_disk_is_told_and_the_rows_go_in_later(folder: Storage) -> None:
    causes: list[tuple[str, str]] = []
    table = vector_table(folder, 0.2, on_retry=lambda *cause: causes.append(cause))
    rows = memory_rows(range(500), text="private")
    with full_disk(2_000), pytest.raises(StorageUnavailable) as told:
        table.merge(rows)
    assert told.value.what == (
        f"Cannot write table memories in {folder.root}: File too large"
        " (tried for 0.2 s)"
    )
    assert set(causes) == {("memories", "storage")}
    table.merge(rows)
    assert len(stored(folder)) == 500


def test_memories_that_were_deleted_are_told(folder: Storage) -> None:
    table = vector_table(folder)
    shutil.rmtree(folder.uri("memories"))
    for asked in (table.largest_writer, lambda: table.merge(memory_rows([1]))):
        with pytest.raises(LakeError) as told:
            asked()
        assert "gone" in told.value.what
        assert "maintain reindex" in told.value.todo
    assert not table.exists()


WRITER = """
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
        [sys.executable, "-c", WRITER, "1"],
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
    # The next one does the last commits again.
    again = vector_table(storage)
    again.merge(memory_rows(range(100, 250), writer=2))
    assert [number for number, _ in stored(storage)][:250] == list(range(250))


def test_whether_it_is_there_is_told_without_making_it(storage: Storage) -> None:
    table = VectorTable(storage, 2, DIMENSION, "another model")
    assert not table.exists()
    assert not table.exists()
    vector_table(storage, generation=2)
    assert table.exists()
    assert not VectorTable(storage, 1, DIMENSION, MODEL).exists()


def test_the_episodes_that_are_remembered_are_told(folder: Storage) -> None:
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
