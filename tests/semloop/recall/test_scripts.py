"""Recall in scripts without spaces, and of names, with the default embedder."""

import itertools
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from semloop import Lake
from tests.operators.event_rows import event_row
from tests.semloop.recall.a_memory_lake import texts
from tests.semloop.recall.event_lake import an_event_lake

pytestmark = pytest.mark.slow

# Who, what, what happened, and an end, for texts that share their words.
Vocabulary = Mapping[str, Sequence[str]]
CHINESE: Vocabulary = {
    "who": ("客户", "数据库", "服务器", "支付网关", "搜索服务", "部署任务", "缓存集群"),
    "what": ("证书", "连接池", "退款", "订单", "磁盘", "配置文件", "权限", "索引"),
    "how": ("过期", "耗尽", "失败", "超时", "丢失", "重复", "损坏", "被拒绝"),
    "end": ("，请求被中断", "，所以重新启动了它", "，昨天已经修复", "，没有解决办法"),
    "between": ("的", ""),
}
JAPANESE: Vocabulary = {
    "who": ("顧客", "データベース", "サーバー", "決済システム", "検索", "配備ジョブ"),
    "what": (
        "証明書",
        "接続プール",
        "返金",
        "注文",
        "ディスク",
        "設定ファイル",
        "ログ",
    ),
    "how": ("期限切れ", "枯渇", "失敗", "タイムアウト", "紛失", "重複", "破損", "拒否"),
    "end": ("のため中断された", "なので再起動しました", "で昨夜修正しました"),
    "between": ("の", "が"),
}
THAI: Vocabulary = {
    "who": ("ลูกค้า", "ฐานข้อมูล", "เซิร์ฟเวอร์", "ระบบชำระเงิน", "ผู้ใช้", "ผู้ดูแล"),
    "what": ("ใบรับรอง", "การเชื่อมต่อ", "เงินคืน", "คำสั่งซื้อ", "ดิสก์", "รหัสผ่าน"),
    "how": ("หมดอายุ", "ล้มเหลว", "หมดเวลา", "สูญหาย", "ซ้ำกัน", "เสียหาย"),
    "end": ("ทำให้คำขอถูกตัด", "เราจึงเริ่มระบบใหม่", "แก้ไขแล้วเมื่อคืน"),
    "between": ("", ""),
}
COUNT = 100
# The texts that the queries look for, among all of them.
QUERIED = 40
FOUND_MIN = 95


def a_text(vocabulary: Vocabulary, words: Sequence[str], end: str) -> str:
    who, what, how = words
    first, second = vocabulary["between"]
    return f"{who}{first}{what}{second}{how}{end}"


def found_in_first_three(lake: Lake, query: str, among: Sequence[str]) -> bool:
    """Return whether a text with all words of the query is one of the first three."""
    holding = {text for text in among if all(word in text for word in query.split())}
    assert holding
    return bool(holding & set(texts(lake.recall(query, 3))))


@pytest.mark.parametrize(
    "vocabulary",
    [
        pytest.param(CHINESE, id="Chinese"),
        pytest.param(JAPANESE, id="Japanese"),
        pytest.param(THAI, id="Thai"),
    ],
)
def test_the_text_with_the_words_of_a_query_is_among_the_first_three(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    choice = random.Random(1)
    kinds = ("who", "what", "how")
    combined = list(itertools.product(*(vocabulary[kind] for kind in kinds)))
    chosen = choice.sample(combined, COUNT)
    written = [a_text(vocabulary, w, choice.choice(vocabulary["end"])) for w in chosen]
    events = [event_row(text=text, session=f"s-{n}") for n, text in enumerate(written)]
    queries = [
        *(" ".join(words) for words in chosen[:QUERIED]),
        *(" ".join(words[1:]) for words in chosen[:QUERIED]),
        *(text[: len(text) // 2] for text in written[:QUERIED]),
    ]
    with an_event_lake(tmp_path / "lake", events, "minilm").open() as lake:
        found = [found_in_first_three(lake, query, written) for query in queries]
    assert sum(found) >= len(queries) * FOUND_MIN / 100


def test_similarity_does_not_outweigh_words_that_the_model_cannot_read(
    tmp_path: Path,
) -> None:
    choice = random.Random(11)
    kana = [chr(code) for code in (*range(0x3042, 0x3090), *range(0x30A2, 0x30F0))]
    words = ["".join(choice.choices(kana, k=3)) for _ in range(40)]
    written = ["".join(choice.sample(words, 5)) for _ in range(COUNT)]
    events = [event_row(text=text, session=f"s-{n}") for n, text in enumerate(written)]
    queries = [
        " ".join(choice.sample([text[n : n + 3] for n in range(0, 15, 3)], 3))
        for text in written
    ]
    with an_event_lake(tmp_path / "lake", events, "minilm").open() as lake:
        found = [found_in_first_three(lake, query, written) for query in queries]
    assert sum(found) >= FOUND_MIN


OTHERS = (
    "请把会议改到下周三下午三点",
    "用户想要取消订阅并退款",
    "会議を来週の水曜日に変更してください",
    "証明書の期限切れでデプロイに失敗した",
    "ลูกค้าขอเงินคืน",
    "the customer wants the money back",
    "we moved the meeting to Wednesday",
)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        pytest.param("部署失败是因为证书过期了", "证书过期", id="Chinese"),
        pytest.param("数据库连接池耗尽导致超时", "池", id="one Chinese character"),
        pytest.param("データベースの接続が切れた", "接続", id="Japanese"),
        pytest.param("ﾃﾞｰﾀﾍﾞｰｽが切れた", "データベース", id="half-width Japanese"),
        pytest.param("ไฟล์เสียหายเมื่อคืน", "เสียหาย", id="Thai"),
        pytest.param("calls getUserById twice", "user id", id="camel case"),
        pytest.param("calls getUserById twice", "getUserById", id="the whole name"),
        pytest.param("set max_retry_count to 3", "retry count", id="snake case"),
        pytest.param("restart the payment-retry-worker", "worker", id="kebab case"),
        pytest.param("see semloop.lake.recall", "lake recall", id="a dotted name"),
        pytest.param("edit src/app/login_view.py", "login view", id="a path"),
        pytest.param("die STRASSE ist gesperrt", "Straße", id="German capitals"),
        pytest.param("İSTANBUL is closed", "istanbul", id="Turkish capitals"),
        pytest.param("ＥＲＲＯＲ in full width", "error", id="full width"),
        pytest.param("we shipped it 🚀", "🚀", id="an emoji"),
    ],
)
def test_a_text_is_found_by_a_part_of_it(tmp_path: Path, text: str, query: str) -> None:
    events = [
        event_row(text=other, session=f"s-{n}")
        for n, other in enumerate((*OTHERS, text))
    ]
    with an_event_lake(tmp_path / "lake", events).open() as lake:
        hits = lake.recall(query, 3)
    assert texts(hits)[0] == text
    assert hits["keyword"][0].as_py() > 0
