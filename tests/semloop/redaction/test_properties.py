"""Properties: secrets are found whole, all other bytes stay, twice changes nothing."""

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from semloop.redaction.redactor import Redactor
from semloop.redaction.vendors import KEY_FORMATS
from semloop.settings import Secret

REDACTOR = Redactor(Secret("a key for tests only, 32 letters"))
PSEUDONYM = r"<[a-z_]+:[0-9a-f]{12}>"

# Letters and digits in turn: the shape of a password that is no word.
passwords = st.lists(
    st.tuples(
        st.sampled_from("bcdfgkmpqtvwxzBCDFGKMPQTVWXZ"), st.sampled_from("23456789")
    ),
    min_size=4,
    max_size=9,
).map(lambda pairs: "".join(map("".join, pairs)))
# How people and programs write a secret: `%s` in what is replaced, between brackets.
PLACES = (
    "password: «%s»", "PASSWORD=«%s»", "--password «%s»", "the password is «%s»",
    "pwd = '«%s»'", 'DB_PASSWORD="«%s»"', "?access_token=«%s»&x=1", "api_key: «%s»",
    "Authorization: «Bearer %s»", 'clientSecret = "«%s»";', "| password | «%s» |",
    "<password>«%s»</password>", "https://«ann:%s»@host.example/x",
    "mysql -u root -p«%s» shop", "X-Api-Key: «%s»", "IDENTIFIED BY '«%s»'",
    "{'password': '«%s»'}", "password%%3D«%s»", 'secret_key => "«%s»"',
    "redis://«:%s»@cache:6379/0", "curl -u ann:«%s» https://x.example",
    "Cookie: sid=«%s»; a=b", "- name: DB_PASSWORD\n  value: «%s»",
)  # fmt: skip


@st.composite
def secrets_in_place(draw: st.DrawFn) -> tuple[str, str, str]:
    """Draw the text before a secret, the secret, and the text after it."""
    before, rest = draw(st.sampled_from(PLACES)).split("«")
    secret, after = rest.split("»")
    return before.replace("%%", "%"), secret % draw(passwords), after


words = st.sampled_from(
    "the flight is on time; a token of thanks | def run(self, name: str) -> None:"
    " | return [x for x in rows[::2] if x] | # see section 1.2.3.4 | x = y + 1"
    " | logo@2x.png | 12:30:05 INFO started | \u201cquoted\u201d \u2014 caf\u00e9 \U0001f600 | if (a < b && c > d) { f(a, b); }"
    ' | password: str | max_tokens=4096 | \\d+\\.\\d | {"a": 1}'.split(" | ")
)
lines = st.lists(words, max_size=4).map("\n".join)


def only_replaced(before: str, secret: str, after: str) -> bool:
    """Return whether pseudonyms in place of the secret are the only change."""
    expected = PSEUDONYM.join(map(re.escape, before.split(secret)))
    return secret not in after and bool(re.fullmatch(expected, after))


@given(parts=secrets_in_place(), above=lines, below=lines)
def test_a_secret_in_text_is_replaced_whole_and_nothing_else(
    parts: tuple[str, str, str], above: str, below: str
) -> None:
    text = "\n".join([above, "".join(parts), below])
    cleaned = REDACTOR.text(text)
    assert only_replaced(text, parts[1], cleaned)
    assert REDACTOR.text(cleaned) == cleaned


@given(form=st.sampled_from(KEY_FORMATS), above=lines, below=lines)
def test_a_key_of_a_vendor_is_replaced_in_any_text(
    form: Any, above: str, below: str
) -> None:
    text = f"{above}\nI used {form.example} and it worked\n{below}"
    cleaned = REDACTOR.text(text)
    assert only_replaced(text, form.example, cleaned)
    assert REDACTOR.text(cleaned) == cleaned


documents = st.recursive(
    st.none() | st.booleans() | st.integers(0, 999) | st.floats(0, 9) | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "note", "text", "é", "x\ty"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(
    document=documents,
    parts=secrets_in_place(),
    ascii_only=st.booleans(),
    indent=st.none() | st.integers(0, 2),
    depth=st.integers(0, 3),
)
def test_a_secret_in_json_is_replaced_and_every_other_byte_stays(
    document: Any,
    parts: tuple[str, str, str],
    ascii_only: bool,
    indent: int | None,
    depth: int,
) -> None:
    text = f'caf\u00e9 "x"\n{"".join(parts)}\n'
    for _ in range(depth):
        text = json.dumps({"inner": [text, document]}, ensure_ascii=ascii_only)
    raw = json.dumps(
        {"before": document, "content": text, "after": document},
        ensure_ascii=ascii_only,
        indent=indent,
    )
    cleaned = REDACTOR.json(raw.encode()).decode()
    assert only_replaced(raw, parts[1], cleaned)
    json.loads(cleaned)
    assert REDACTOR.json(cleaned.encode()).decode() == cleaned


@given(document=documents, ascii_only=st.booleans())
def test_a_document_without_secrets_is_returned_unchanged(
    document: Any, ascii_only: bool
) -> None:
    raw = json.dumps({"content": document}, ensure_ascii=ascii_only).encode()
    assert REDACTOR.json(raw) is raw


@given(
    text=st.text(max_size=80) | st.lists(secrets_in_place().map("".join)).map("\n".join)
)
def test_redacting_any_text_twice_changes_nothing(text: str) -> None:
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once
