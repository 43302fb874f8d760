"""Long texts keep both ends and what reports an error, within the bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.texts.shortened import LEFT_OUT, reports_error, shared, shortened

pytestmark = pytest.mark.unit

FILL = "The committee reviewed the minutes and found nothing unusual. "
WORDS = st.lists(
    st.sampled_from(["word", "Error: full", "证书过期", "x" * 90, "\U0001f600"])
).map(" ".join)


def test_a_text_within_the_bound_is_not_changed() -> None:
    assert shortened(FILL, len(FILL)) == FILL


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    text = shortened(f"It begins. {FILL * 100}It ends.", 500)
    assert text.startswith("It begins. The committee")
    assert text.endswith("nothing unusual. It ends.")
    assert text.count(LEFT_OUT) == 1
    assert 450 <= len(text) <= 500


def test_reports_of_errors_survive_between_the_ends() -> None:
    text = FILL * 20 + "FAILED test_quokka: mismatch in shard 17. " + FILL * 200
    for chars in (1_000, 4_000):
        found = shortened(text, chars)
        assert "FAILED test_quokka: mismatch in shard 17." in found
        assert len(found) <= chars


def test_many_reports_of_errors_leave_room_for_the_ends() -> None:
    found = shortened("start " + "Error: again. " * 9_000 + "the end", 1_000)
    assert found.startswith("start ")
    assert found.endswith("the end")


@given(WORDS, st.integers(0, 400))
def test_a_shortened_text_is_within_its_bound_and_made_of_the_text(
    text: str, chars: int
) -> None:
    found = shortened(text, chars)
    assert len(found) <= chars
    assert all(part in text for part in found.split(LEFT_OUT))
    assert found == text or len(text) > chars


@given(WORDS, WORDS, st.integers(60, 400))
def test_two_texts_share_a_bound(first: str, second: str, chars: int) -> None:
    one, other = shared(first, second, chars)
    assert len(one) + len(other) <= chars
    if len(first) + len(second) <= chars:
        assert (one, other) == (first, second)
    if len(first) <= chars // 3:
        assert one == first
    if len(second) <= chars // 2:
        assert other == second


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last)", "KeyError: 'a'", "1 failed", "FATAL: no disk",
        "permission denied", "request timed out", "部署失败", "接続エラー",
    ],
)  # fmt: skip
def test_words_that_report_an_error(text: str) -> None:
    assert reports_error(text)
    assert not reports_error(FILL)
