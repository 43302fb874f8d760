"""Redaction of broken, nested, duplicated and hostile records."""

import base64
import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

import pyarrow as pa
import pytest

from operators.redaction.redact import suspects
from semloop import redaction
from semloop.redaction.redactor import Redactor
from semloop.settings import Secret

REDACTOR = Redactor(Secret("a key for tests only, 32 letters"))
SEEDS = (
    b"ann@x.org",
    b"ann\\u0040x.org",
    b"1990-04-05",
    b"4111111111111111",
    b"hunter2",
)
VALID = (
    b'{"to": "ann@x.org", "x": "NO6JO3", "dob": "1990-04-05", "n": 51.10,'
    b' "card": 4111111111111111, "in": "{\\"password\\": \\"hunter2\\"}"}'
)


def assert_clean(record: bytes) -> bytes:
    cleaned = REDACTOR.json(record)
    for seed in SEEDS:
        assert seed not in cleaned
    assert REDACTOR.json(cleaned) == cleaned
    return cleaned


def test_only_private_tokens_change() -> None:
    record = (
        b'\t{ "n":51.10 ,"m": 1e2,"k":"caf\xc3\xa9 \\u00e9\\/", "to":"ann@x.org",\n'
        b'"big":123456789012345678901234567890, "to" : null, "dup":1,"dup":2 }\r\n'
    )
    email = REDACTOR.text("ann@x.org").encode()
    assert assert_clean(record) == record.replace(b"ann@x.org", email)


def test_both_values_of_a_duplicate_key_are_redacted() -> None:
    cleaned = assert_clean(b'{"dob":"1990-04-05","dob":"1991-05-06","a":1,"a":2}')
    assert b"1991" not in cleaned
    assert cleaned.endswith(b',"a":1,"a":2}')


def test_a_private_key_name_is_redacted() -> None:
    assert assert_clean(b'{"ann@x.org": 1}').startswith(b'{"<email:')


def test_escaped_private_content_is_redacted() -> None:
    assert_clean(rb'{"a": "ann\u0040x.org", "d\u006fb": "1990-04-05"}')
    assert_clean(
        rb'{"in": "{\"d\\u006fb\": \"1990-04-05\", \"a\": \"ann\\u0040x.org\"}"}'
    )
    assert_clean(rb'{"a": "https:\/\/bob:hunter2@x.org\/"}')


def test_lone_surrogates_are_preserved() -> None:
    cleaned = assert_clean(rb'{"a": "\ud800 ann@x.org \udc00 \ud83d\ude00"}')
    before, _, after = json.loads(cleaned)["a"].partition(REDACTOR.text("ann@x.org"))
    assert (before, after) == ("\ud800 ", " \udc00 \U0001f600")


@pytest.mark.parametrize("depth", range(1, 7))
def test_json_in_json_is_redacted_at_any_depth(depth: int) -> None:
    inner = VALID.decode()
    for _ in range(depth):
        inner = json.dumps({"arguments": inner})
    cleaned = assert_clean(inner.encode()).decode()
    for _ in range(depth):
        cleaned = json.loads(cleaned)["arguments"]
    assert json.loads(cleaned)["x"] == "NO6JO3"
    assert json.loads(cleaned)["n"] == 51.10


@pytest.mark.parametrize("end", range(0, len(VALID), 3))
def test_a_truncated_record_is_redacted(end: int) -> None:
    # Only complete seeds are searched for: a truncated seed need not be redacted.
    assert_clean(VALID[:end])
    assert_clean(json.dumps({"a": VALID[:end].decode()}).encode())
    assert_clean(json.dumps({"a": "see " + VALID[:end].decode()}).encode())


@pytest.mark.parametrize("at", [i for i, c in enumerate(VALID) if c in b'"{}:,'])
def test_a_record_with_a_missing_punctuation_mark_is_redacted(at: int) -> None:
    assert_clean(VALID[:at] + VALID[at + 1 :])


@pytest.mark.parametrize(
    "record",
    [
        b"\xef\xbb\xbf" + VALID,
        b"\xff\xfe" + VALID + b"\xe9",
        VALID.replace(b"NO6JO3", b"\xc3(\xff"),
        VALID.replace(b"51.10", b"NaN"),
        VALID.decode().encode("utf-16"),
        VALID.decode().encode("utf-16-be"),
        VALID.decode().encode("utf-32"),
        VALID.replace(b'"', b"'"),
        VALID.replace(b'": ', b'" = '),
        VALID + VALID,
        b"log: " + VALID,
        repr(json.loads(VALID)).encode(),
    ],
    ids=[
        "with a byte-order mark", "between bytes that are not UTF-8",
        "with bytes that are not UTF-8 inside", "with NaN", "in UTF-16",
        "in UTF-16 big-endian", "in UTF-32", "in single quotes",
        "with equals signs", "twice", "after text", "as Python's repr",
    ],
)  # fmt: skip
def test_a_record_that_is_not_valid_json_is_redacted(record: bytes) -> None:
    cleaned = assert_clean(record)
    assert not re.search(rb"h\0+u\0+n\0+t\0+e\0+r", cleaned)


def test_text_that_is_not_utf8_keeps_its_public_bytes() -> None:
    cleaned = assert_clean(b"\xff\xfe ann@x.org \xe9")
    assert cleaned.startswith(b"\xff\xfe <email:")
    assert cleaned.endswith(b"> \xe9")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_utf16_record_is_replaced_and_stays_utf8_only_if_it_was(
    encoding: str,
) -> None:
    """So that decoding rejects it for the same reason as without redaction."""
    record = '{"a": "ann@x.org"}'.encode(encoding)
    cleaned = REDACTOR.json(record)
    assert b"<binary:" in cleaned
    assert cleaned.startswith(b"\xff") == (encoding == "utf-16")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_records_are_replaced_as_a_whole(
    compress: Callable[[bytes], bytes],
) -> None:
    record = compress(b'{"a": "ann@x.org"}')
    cleaned = REDACTOR.json(record)
    assert re.fullmatch(rb"\xff<binary:\w{12}>", cleaned)
    assert suspects(pa.array([record], pa.binary()), REDACTOR) == [0]


def test_base64_of_private_text_is_replaced_and_other_base64_stays() -> None:
    def encoded(text: bytes) -> str:
        return base64.b64encode(text).decode()

    private = encoded(b'{"from": "Ann", "to": "ann@example.com", "n": 1}')
    public = encoded(b'{"from": "the shop", "to": "the customer"}')
    image = encoded(bytes(range(256)) * 20)
    text = f"a {private} b {public} c {image}"
    cleaned = REDACTOR.text(text)
    assert re.fullmatch(r"a <encoded:\w{12}> b \S+ c \S+", cleaned)
    assert cleaned.endswith(f" b {public} c {image}")
    assert b"<encoded:" in assert_clean(json.dumps({"body": private}).encode())


def test_deeply_nested_records_are_redacted() -> None:
    depth = 20_000
    record = b'{"a":' * depth + b'"ann@x.org"' + b"}" * depth
    cleaned = assert_clean(record)
    assert cleaned.count(b'{"a":') == depth
    assert_clean(b"[" * depth + b'{"dob": ["1990-04-05"' + b"]" * depth)


# Each piece is repeated up to the size; quadratic time would exceed the time-out.
HOSTILE = {
    "letters": b"a", "words": b"a ", "dots": b"a.", "at signs": b"a@", "NULs": b"\0",
    "local parts": b"a@b.c", "digits": b"4", "cards": b"4111 1111 1111 1112 ",
    "IBANs": b"GB82 WEST 1234 5698 ", "pluses": b"+1", "phones": b"+1 2 ",
    "times": b"00:", "colons": b":", "equals": b"token==", "URLs": b"://a:",
    "quotes": b'"', "backslashes": b"\\", "escaped quotes": b'\\"',
    "escapes": b"\\u005c", "hidden escapes": b"u005c", "JSON in JSON": b'"[',
    "open braces": b"{", "open brackets": b'["', "keys": b"token:",
    "numeric keys": b"dob:", "open quotes": b"dob:'", "quotes and lines": b'dob:"\n',
    "keys in braces": b"token:{", "counting words": b"max token ",
    "JWTs": b"eyJhbGci", "parts of JWTs": b"eyJhbGci.", "pseudonyms": b"<a:",
    "key blocks": b"-----BEGIN PRIVATE KEY", "not UTF-8": b"\xff@",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("size", [100_000, 200_000])
@pytest.mark.parametrize("shape", HOSTILE)
def test_hostile_records_take_linear_time(shape: str, size: int) -> None:
    piece = HOSTILE[shape]
    text = piece * (size // len(piece))
    REDACTOR.json(text if size > 100_000 else b'{"a@b.cd": "' + text + b'"}')


def test_quotes_of_growing_depth_take_linear_time() -> None:
    text = b"".join(b"pwd:" + b"\\" * depth + b'"' for depth in range(1_000))
    REDACTOR.json(text)


def test_no_expression_has_nested_backtracking() -> None:
    # RE2 does not backtrack; expressions of `re` have no nested repetition, unless the
    # outer one is possessive.
    expressions = 0
    for module in iter_modules(redaction.__path__, f"{redaction.__name__}."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, re.Pattern):
                source = value.pattern
                text = source.decode("latin-1") if isinstance(source, bytes) else source
                assert not re.search(r"[+*]\)[+*](?![+])", text), (module.name, text)
                expressions += 1
    assert expressions > 50
