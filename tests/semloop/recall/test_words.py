"""The terms by which memories are indexed, counted, asked for and marked."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.lake.recall.words import query_terms, terms_in, text_terms

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "query"),
    [
        pytest.param("Refunds", "refund", id="a stem"),
        pytest.param("NAÏVE", "naive", id="accents"),
        pytest.param("a_b", "b", id="a part"),
        pytest.param("Straße", "STRASSE", id="a letter that folds to two"),
        pytest.param("İSTANBUL", "istanbul", id="a capital with a dot"),
        pytest.param("ısı", "ISI", id="a small letter without a dot"),
        pytest.param("ｆｕｌｌ　ｗｉｄｔｈ", "full width", id="full width"),
        pytest.param("ﾃﾞｰﾀ", "データ", id="half width"),
        pytest.param("か\u3099く", "がく", id="a decomposed voiced mark"),
        pytest.param("\u1112\u116e\u11ab", "훈", id="a decomposed syllable"),
        pytest.param("ﬁle", "file", id="a ligature"),
        pytest.param("Ώρα", "ωρα", id="Greek"),
        pytest.param("ёлка", "елка", id="Cyrillic"),
        pytest.param("شُكْرًا", "شكرا", id="Arabic vowels"),
        pytest.param("co\u00adop\u200bera\u200dtion", "cooperation", id="invisible"),
        pytest.param("ship it 👍🏽", "👍", id="an emoji with a skin tone"),
        pytest.param("❤️", "❤", id="an emoji with a selector"),
        pytest.param("👩‍💻", "💻", id="a joined emoji"),
        pytest.param("to 🇩🇪🇫🇷", "🇫🇷", id="a flag"),
        pytest.param("getUserName()", "user name", id="camel case"),
        pytest.param("getUserName()", "getusername", id="the whole in camel case"),
        pytest.param("HTTPServer2Error", "http server 2 error", id="capitals"),
        pytest.param("iPhones", "iphone", id="one small letter"),
        pytest.param("get_user_name", "user", id="snake case"),
        pytest.param("__init__.py", "init", id="two separators"),
        pytest.param("retry-worker", "worker", id="kebab case"),
        pytest.param("semloop.lake.recall", "recall", id="a dotted name"),
        pytest.param("src/app/main.py", "main", id="a path"),
        pytest.param("C:\\Users\\ann", "ann", id="a path of Windows"),
        pytest.param("हिन्दी में", "हिन्दी", id="vowel signs"),
        pytest.param("证书过期了", "过期", id="Chinese"),
        pytest.param("证书过期了", "书", id="one Chinese character"),
        pytest.param("データベースの接続が切れた", "接続", id="Japanese"),
        pytest.param("ลูกค้าขอเงินคืน", "เงินคืน", id="Thai"),
        pytest.param("ລູກຄ້າຂໍເງິນຄືນ", "ເງິນ", id="Lao"),
        pytest.param("អតិថិជនសុំប្រាក់វិញ", "ប្រាក់", id="Khmer"),
        pytest.param("ဖောက်သည်ငွေပြန်", "ငွေ", id="Burmese"),
        pytest.param("환불을 요청", "환불", id="Korean with a particle"),
        pytest.param("エラー503です", "503", id="digits between others"),
    ],
)
def test_a_text_has_the_terms_of_the_query(text: str, query: str) -> None:
    terms = query_terms(query)
    assert terms
    assert set(terms) <= set(text_terms(text))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        pytest.param("证书失效，会话过期", "书会", id="characters of two runs"),
        pytest.param("期过", "过期", id="another order"),
        pytest.param("かく", "がく", id="a voiced mark"),
        pytest.param("prerefund", "refund", id="the end of a word"),
        pytest.param("user_get", "get_user", id="a name in another order"),
        pytest.param("3.41", "3.14", id="a number"),
    ],
)
def test_a_text_lacks_a_term_of_the_query(text: str, query: str) -> None:
    assert set(query_terms(query)) - set(text_terms(text))


def test_the_whole_of_a_name_is_one_term_more() -> None:
    assert text_terms("get_user") == ["get", "user", "get_user"]
    assert text_terms("getUser") == ["get", "user", "getus"]
    assert text_terms("2026-11-26") == ["2026", "11", "26", "2026-11-26"]
    assert text_terms("well-known and/or") == ["well", "known"]


def test_random_letters_are_not_a_name_in_camel_case() -> None:
    assert text_terms("aB3xY9qZ7") == ["ab3xy9qz7"]


def test_words_that_only_ask_are_not_searched_unless_there_are_no_others() -> None:
    assert query_terms("what did they refund?") == ["refund"]
    assert query_terms("who are you?") == ["who", "you"]
    assert query_terms("?") == []


def test_a_query_asks_for_pairs_unless_it_has_one_character() -> None:
    assert query_terms("过期 书") == ["过期", "书"]


TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("aB_-./ 1证書かガ각ก้ិ👍é\u0301ﾞ"),
    ),
    max_size=30,
)


@given(TEXTS)
def test_terms_are_parts_of_the_text_without_spaces(text: str) -> None:
    for start, end, term in terms_in(text):
        assert 0 <= start < end <= len(text)
        assert term
        assert not any(character.isspace() for character in term)


@given(TEXTS, st.randoms(use_true_random=False))
def test_a_run_without_spaces_is_found_by_any_part_of_it(
    text: str, choice: random.Random
) -> None:
    run = "".join(choice.choices("证书過期データきกขค", k=12))
    start = choice.randrange(11)
    part = run[start : choice.randrange(start + 1, 13)]
    assert set(query_terms(part)) <= set(text_terms(f"{text} {run} {text}"))
