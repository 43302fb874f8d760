"""Private and public content, and the properties of pseudonyms."""

import json
import re

import pytest

from semloop.errors import ConfigError
from semloop.redaction.redactor import Redactor
from semloop.settings import Secret
from tests.semloop.redaction.private_texts import PRIVATE, PUBLIC

KEY = Secret("a key for tests only, 32 letters")
REDACTOR = Redactor(KEY)


@pytest.mark.parametrize("phrase", PRIVATE)
def test_private_text_is_replaced_by_a_pseudonym(phrase: str) -> None:
    text, name, secret = PRIVATE[phrase]
    cleaned = REDACTOR.text(text)
    assert f"<{name}:" in cleaned
    assert secret not in cleaned
    assert REDACTOR.text(cleaned) == cleaned


@pytest.mark.parametrize("phrase", PRIVATE)
def test_private_text_inside_json_is_redacted(phrase: str) -> None:
    text, name, secret = PRIVATE[phrase]
    inner = json.dumps({"note": f"x {text}"})
    record = json.dumps({"deep": [json.dumps({"inner": inner})], "n": 51.10}).encode()
    cleaned = REDACTOR.json(record)
    found = json.loads(json.loads(json.loads(cleaned)["deep"][0])["inner"])["note"]
    assert f"<{name}:" in found
    assert secret not in found


@pytest.mark.parametrize("phrase", PUBLIC)
def test_public_text_is_not_changed(phrase: str) -> None:
    text = PUBLIC[phrase]
    assert REDACTOR.text(text) is text
    record = json.dumps({"content": text, "list": [text, {"a": text}]}).encode()
    assert REDACTOR.json(record) is record


DATE, NUMBER, SECRET = "1990-04-05", "4155550100", "S3cr3tPw9"


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("dob", DATE, "date_of_birth"),
        ("date_of_birth", DATE, "date_of_birth"),
        ("passengerDateOfBirth", DATE, "date_of_birth"),
        ("X-API-Key", SECRET, "api_key"),
        ("APIKey", SECRET, "api_key"),
        ("apiKey2", SECRET, "api_key"),
        ("authToken", SECRET, "token"),
        ("refresh_token", SECRET, "refresh_token"),
        ("inputPassword", "correct horse", "password"),
        ("passwordHash", SECRET, "password"),
        ("mypassword", SECRET, "password"),
        ("password", "wo,rd<(s)", "password"),
        ("SSN", "123456789", "ssn"),
        ("cvv2", "123", "cvv"),
        ("credit-card-number", "4111111111111111", "card"),
        ("home phone number", NUMBER, "phone"),
        ("credentials", "ann:" + SECRET, "secret"),
        ("Set-Cookie", "sid=" + SECRET, "cookie"),
        ("Authorization", "Token " + SECRET, "authorization"),
        ("license_key", "AAAA-BBBB-CCCC-DDDD", "license_key"),
        ("contraseña", "hunter2", "password"),
        ("пароль", "hunter2", "password"),
        ("密码", "S3cr3tPw9", "password"),
    ],
)
def test_a_value_under_a_private_key_is_redacted(
    name: str, value: str, found: str
) -> None:
    for text in (name, json.dumps(name)[1:-1]):
        record = f'{{"{text}": {json.dumps(value)}, "n": 1}}'.encode()
        cleaned = json.loads(REDACTOR.json(record))
        assert f"<{found}:" in cleaned[name]
        assert value.partition("=")[2] not in cleaned[name] or "=" not in value
        assert cleaned["n"] == 1


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "input_tokens", "output_tokens", "token_count", "max_token",
     "tokens", "token_limit", "token_type", "token_usage", "prompt_token_details",
     "next_token", "password_policy", "secretName", "pad_token_id", "phone_type",
     "secretary", "phonetic", "credit_card", "birthplace", "author", "cookiecutter",
     "birthday_party", "primary_key", "compass", "tokenizer"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["x y", "Bearer", "app-tls", 812, [1, 2, 3], True])
def test_a_value_under_a_public_key_is_not_changed(name: str, value: object) -> None:
    record = json.dumps({name: value, "n": 1}).encode()
    assert REDACTOR.json(record) is record


@pytest.mark.parametrize(
    "value",
    ["", " Oslo", "string", "Bearer", "<your token>", "${TOKEN}", "{{ token }}", "****",
     "invalid", "the token of the next page", None, False, 3, {"type": "string"},
     ["the", "cat"], {"a": {"token": "x"}}],
)  # fmt: skip
def test_a_value_under_a_secret_key_may_be_no_secret(value: object) -> None:
    record = json.dumps({"token": value, "logprob": -0.01}).encode()
    assert REDACTOR.json(record) is record


def test_strings_in_a_container_under_a_secret_key_are_judged_by_their_shape() -> None:
    record = {"tokens": ["S3cr3tPw9xyz", "cat"], "dob": {"y": 1990, "m": 4}, "x": 1990}
    cleaned = json.loads(REDACTOR.json(json.dumps(record).encode()))
    secret, word = cleaned["tokens"]
    assert secret.startswith("<token:")
    assert word == "cat"
    assert cleaned["dob"]["y"].startswith("<date_of_birth:")
    assert cleaned["x"] == 1990


@pytest.mark.parametrize(
    "record",
    ['{"headers": [{"name": "Authorization", "value": "Basic S3cr3tPw9xyz"}]}',
     '{"env": [{"value": "S3cr3tPw9xyz", "name": "DB_PASSWORD"}]}',
     '{"rawHeaders": ["Host", "x.example", "X-Api-Key", "S3cr3tPw9xyz"]}',
     '{"cookies": [{"name": "sid", "value": "S3cr3tPw9xyz"}]}',
     '{"kty": "oct", "k": "S3cr3tPw9xyz", "alg": "HS256"}'],
)  # fmt: skip
def test_a_value_is_redacted_whose_name_is_a_value_too(record: str) -> None:
    for text in (record, json.dumps({"inner": record})):
        cleaned = REDACTOR.json(text.encode())
        assert b"S3cr3tPw9xyz" not in cleaned
        rest = re.sub(r"(Basic )?S3cr3tPw9xyz", "", text).encode()
        assert re.sub(rb"<\w+:\w{12}>", b"", cleaned) == rest


def test_a_card_that_is_a_number_is_redacted() -> None:
    record = b'{"visa": 4111111111111111, "amex": 378282246310005, "n": 1716200000}'
    cleaned = json.loads(REDACTOR.json(record))
    assert cleaned["visa"].startswith("<card:")
    assert cleaned["amex"].startswith("<card:")
    assert cleaned["n"] == 1716200000


def test_a_value_in_quotes_extends_beyond_escaped_quotes() -> None:
    cleaned = REDACTOR.text(r'password = "left\"right" and more')
    assert re.fullmatch(r'password = "<password:\w{12}>" and more', cleaned)


def test_private_text_that_a_replacement_exposes_is_redacted_too() -> None:
    # An API key is recognized only where it does not continue a longer word.
    cleaned = REDACTOR.text("call +14155550100sk-a1b2c3d4e5f6g7h8")
    assert re.fullmatch(r"call <phone:\w{12}><api_key:\w{12}>", cleaned)


def test_equal_content_has_equal_pseudonyms() -> None:
    text = "ann@x.org ANN@X.org; 4111 1111 1111 1111 4111111111111111; (415) 555-0100"
    one, two, card_one, card_two, phone = REDACTOR.text(text.replace(";", "")).split(
        " "
    )
    assert one == two
    assert card_one == card_two
    assert json.loads(REDACTOR.json(b'{"phone": 4155550100}'))["phone"] == phone


def test_another_redaction_key_produces_other_pseudonyms() -> None:
    other = Redactor(Secret("another key for tests, 32 letters"))
    assert REDACTOR.text("ann@x.org") != other.text("ann@x.org")


def test_pseudonyms_of_different_classes_differ() -> None:
    cleaned = json.loads(REDACTOR.json(b'{"token": "a1b2c3", "secret": "a1b2c3"}'))
    assert cleaned["token"].split(":")[1] != cleaned["secret"].split(":")[1]


def test_own_keys_and_patterns_extend_the_built_in_ones() -> None:
    own = Redactor(KEY, ["ticketNumber", "max_token"], {"badge": r"EMP-\d+|Größe \d"})
    record = (
        b'{"ticket_number": 5, "max_token": "x", "t": "EMP-12 Gr\\u00f6\\u00dfe 7"}'
    )
    cleaned = json.loads(own.json(record))
    assert cleaned["ticket_number"].startswith("<ticket_number:")
    assert cleaned["max_token"].startswith("<max_token:")
    first, second = cleaned["t"].split(" ")
    assert first.startswith("<badge:")
    assert second.startswith("<badge:")
    assert own.text("ann@x.org") == REDACTOR.text("ann@x.org")


@pytest.mark.parametrize("pattern", ["(", "(?=x)", r"(a)\1", "a)(b", "x{2000}"])
def test_the_error_names_a_pattern_that_re2_rejects(pattern: str) -> None:
    with pytest.raises(ConfigError, match="'badge'") as raised:
        Redactor(KEY, patterns={"badge": pattern})
    assert raised.value.todo


@pytest.mark.parametrize("name", ["", "Badge", "2x", "a-b", "é"])
def test_a_pattern_with_an_invalid_name_is_rejected(name: str) -> None:
    with pytest.raises(ConfigError, match="pattern"):
        Redactor(KEY, patterns={name: "x"})


def test_a_key_name_without_letters_or_digits_is_rejected() -> None:
    with pytest.raises(ConfigError, match="redact_keys"):
        Redactor(KEY, keys=["dob", "--"])


def test_the_secret_key_is_not_in_the_repr() -> None:
    assert KEY.reveal() not in repr(vars(REDACTOR))
