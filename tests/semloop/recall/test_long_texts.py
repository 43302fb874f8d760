"""Recall of what is behind the first characters of long texts."""

import base64
import random
from pathlib import Path

import pytest

from tests.operators.event_rows import Row, event_row
from tests.semloop.recall.event_lake import an_event_lake

pytestmark = pytest.mark.slow

FILL = "The committee reviewed the minutes and found nothing unusual. "
OTHERS = tuple(
    event_row(session=f"other-{n}", text=text)
    for n, text in enumerate(("checksums of shards", "permission to read", "soup"))
)


def a_call(session: str, **payload: object) -> Row:
    call = {"tool": "run", "status": "error", "arguments": {"n": 1}, **payload}
    return event_row("tool_call", session, payload=call, text="shortened")


@pytest.mark.parametrize(
    ("call", "query"),
    [
        pytest.param(
            a_call("long", result=FILL * 70 + "FAILED test_quokka: mismatch in shard 17"),
            "quokka mismatch shard 17",
            id="the end of a result",
        ),
        pytest.param(
            a_call("long", arguments={"content": "x = 1\n" * 900}, result="narwhal is read-only"),
            "narwhal read-only",
            id="a result behind long arguments",
        ),
        pytest.param(
            a_call("long", result={"stdout": "".join(f"{n}. {FILL}\n" for n in range(1_600)) + "gone: walrus"}),
            "walrus gone",
            id="the end of 100 kB in JSON",
        ),
        pytest.param(
            a_call("long", result={"messages": [FILL * 100, "钱已经退款"]}),
            "退款",
            id="escaped characters at the end",
        ),
    ],
)  # fmt: skip
def test_the_end_of_a_long_call_is_recalled(
    tmp_path: Path, call: Row, query: str
) -> None:
    with an_event_lake(tmp_path / "lake", [*OTHERS, call]).open() as lake:
        hits = lake.recall(query, 1)
    assert hits["session_id"].to_pylist() == ["long"]
    assert query.split(maxsplit=1)[0] in hits["text"][0].as_py()


def test_an_image_is_one_memory_and_no_hit_for_other_words(tmp_path: Path) -> None:
    image = base64.b64encode(random.Random(1).randbytes(60_000)).decode()
    block = {"type": "image", "data": f"data:image/png;base64,{image}"}
    call = a_call("image", tool="screenshot", result=block)
    with an_event_lake(tmp_path / "lake", [*OTHERS, call]).open() as lake:
        stored = lake.sql("SELECT text FROM memories WHERE tool = 'screenshot'")
        [(text,)] = stored.fetchall()
        assert "[image/png, 60 kB]" in text
        assert len(text) < 200
        assert lake.recall("soup", 1)["session_id"].to_pylist() == ["other-2"]
        assert lake.recall("screenshot", 1)["session_id"].to_pylist() == ["image"]
