"""Private and public content, and the properties of pseudonyms."""

import json

import pytest

from operators.redaction.redactor import Redactor
from semloop.errors import ConfigError
from semloop.settings import Secret

KEY = Secret("a key for tests only, 32 letters")
REDACTOR = Redactor(KEY)

# name: text, class, the part that must be removed
PRIVATE = {
    "an e-mail": ("mail ann@x.org now", "email", "ann@x.org"),
    "an e-mail with a plus": ("a.nn+tag@mail.x.co.uk!", "email", "a.nn+tag"),
    "an e-mail beyond ASCII": ("“josé@x.org”", "email", "josé@x.org"),
    "an e-mail in Chinese letters": ("邮箱 张三@x.org", "email", "张三@x.org"),
    "an e-mail in a URL": ("?to=ann%40x.org", "email", "ann%40x.org"),
    "a phone with country": ("call +44 20 7946 0958.", "phone", "7946"),
    "a phone in one piece": ("call +14155550100", "phone", "4155550100"),
    "a phone with brackets": ("call (415) 555-0100", "phone", "555-0100"),
    "a phone with hyphens": ("415-555-0100", "phone", "415-555-0100"),
    "a phone with dots": ("415.555.0100", "phone", "415.555.0100"),
    "a phone before a date": ("+1 (415) 555-0100 2024-05-20", "phone", "555-0100"),
    "a card": ("paid by 4111111111111111", "card", "4111"),
    "a card with spaces": ("5555 5555 5555 4444", "card", "4444"),
    "a card with hyphens": ("4111-1111-1111-1111", "card", "4111"),
    "an American card": ("3782 822463 10005", "card", "822463"),
    "a card between numbers": ("5555 4111 1111 1111 1111 1", "card", "1111 1111"),
    "an IPv4 address": ("from 192.168.1.10:80", "ip", "192.168.1.10"),
    "an IPv6 address": ("from fe80::1ff:fe23:4567:890a", "ip", "fe80"),
    "a full IPv6 address": ("2001:db8:0:0:1:0:0:1 up", "ip", "2001:db8"),
    "an IPv6 address that ends short": ("(2001:db8::)", "ip", "2001:db8"),
    "an IBAN": ("to GB82WEST12345698765432", "iban", "12345698765432"),
    "an IBAN with spaces": ("BE68 5390 0754 7034 then more", "iban", "0754 7034"),
    "an IBAN in small letters": ("gb82 west 1234 5698 7654 32", "iban", "5698"),
    "a JWT": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "jwt", "eyJzdWIiOiIxIn0"),
    "an AWS key": ("id AKIAIOSFODNN7EXAMPLE", "api_key", "IOSFODNN7"),
    "an OpenAI key": ("sk-abcdefgh12345678", "api_key", "12345678"),
    "an Anthropic key": ("sk-ant-api03-abcdefghijklmno", "api_key", "abcdefghijklmno"),
    "a GitHub token": ("ghp_abcdefghijklmnopqrstuvwxyzabcdefghij", "api_key", "abcdef"),
    "a fine-grained token": ("github_pat_11ABCDEFG0123456789_ab", "api_key", "11ABC"),
    "a Slack token": ("xoxb-123456789012-abcdef", "api_key", "123456789012"),
    "a Google key": ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "api_key", "SyA1234"),
    "a Stripe key": ("rk_live_abcdefghijklmnop", "api_key", "abcdefghijklmnop"),
    "a bearer token": ("sent Bearer abc.def-123456", "bearer", "abc.def"),
    "a login in a URL": ("https://bob:hunter2@x.org/a", "url_login", "hunter2"),
    "a private key": (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----",
        "private_key",
        "MIIabc",
    ),
    "a truncated private key": ("-----BEGIN PRIVATE KEY-----\nMI", "private_key", "MI"),
    "a key and a value": ("dob: 1990-04-05", "dob", "1990"),
    "a key and a long date": ("DOB: April 5th, 1990.", "dob", "April"),
    "a heading": ("**Date of Birth:** 1967-03-12", "date_of_birth", "1967"),
    "a key after words": ("Your date of birth: 5 May 1967", "date_of_birth", "19"),
    "a setting": ("password=hunter2", "password", "hunter2"),
    "a header": ("Authorization: Bearer abc", "authorization", "abc"),
    "a header of several parts": ("Cookie: a=1; b=2", "cookie", "b=2"),
    "a repr": ("{'dob': '1990-04-05', 'x': 1}", "dob", "1990"),
    "a repr with a list": ("'secrets': ['one', 'two'], 'x'", "secrets", "two"),
    "a query": ("/a?token=abc&x=1", "token", "abc"),
    "a camel-case name": ("clientSecret = s3cr3t", "client_secret", "s3cr3t"),
    "a fragment of JSON": ('... "dob": "1990-04-05", "x', "dob", "1990"),
    "a fragment of JSON in JSON": (r"... \"dob\": \"1990-04-05\", \"x", "dob", "1990"),
    "a fragment at depth two": (r"\\\"pwd\\\": \\\"a\\\\\"b\\\"", "pwd", "a"),
    "a key after an escaped line break": (r"yes\ndob: 1990-04-05", "dob", "1990"),
    "a phone of bare digits": ("mobile: 4155550100", "mobile", "4155550100"),
    "an escaped at sign": (r"ann\u0040x.org", "email", "ann"),
    "letters separated by NUL": ("a\0n\0n\0@\0x\0.\0o\0r\0g", "email", "a\0n"),
}  # fmt: skip

PUBLIC = {
    "a reservation": "NO6JO3",
    "a flight": "HAT069 at 06:00:00, 03:00:00+1",
    "the next day before a date": "03:00 +1 2024-05-20 06:00",
    "prices": "51.10, $1,200 and 1e2",
    "a date": "2024-05-20",
    "times": "2024-05-20T10:00:00.123+00:00 and 10:00:00Z, 20:15 +0200",
    "a UUID": "8712b8bc-076f-4787-b9d1-79e06c0fd4f5",
    "a UUID of digits": "41111111-1111-4111-8111-111111111111",
    "a hash": "sha256:" + "4111111111111111" * 4,
    "payment ids": "credit_card_4421486, gift_card_6276644",
    "a call id": "call_oIHazX6yQrB8hUwl4cRilFKj",
    "a user id": "mia_li_3668",
    "a version": "v1.2.3 and 10.11.12",
    "an order of ten digits": "4155550100",
    "epoch milliseconds": "1716200000000",
    "a card with a wrong digit": "4111111111111112",
    "an IBAN with a wrong digit": "GB82WEST12345698765431",
    "C++ names": "std::x, std::vector::begin, dead::beef, token::parse",
    "prose about a token": "the token of my affection",
    "prose about birth": "first name, date of birth, and payment",
    "prose that ends in a colon": "your date of birth: please provide it",
    "counted tokens": "max_tokens=5 input_tokens: 7 token_count: 3 token_limit=2",
    "a placeholder": "token: <token>, password: ''",
    "a handle": "@ann and a@b",
    "a library": "sk-learn-compatible-estimators",
    "no value": "'dob': None, \"token\": null",
}


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


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("dob", "dob"),
        ("date_of_birth", "date_of_birth"),
        ("passengerDateOfBirth", "date_of_birth"),
        ("X-API-Key", "api_key"),
        ("APIKey", "api_key"),
        ("apiKey2", "api_key"),
        ("authToken", "token"),
        ("refresh_token", "token"),
        ("SSN", "ssn"),
        ("cvv2", "cvv"),
        ("credit-card-number", "card_number"),
        ("home phone number", "phone_number"),
        ("credentials", "credentials"),
        ("Set-Cookie", "cookie"),
    ],
)
def test_a_value_under_a_private_key_is_redacted(name: str, found: str) -> None:
    record = json.dumps({name: "x y", "n": 1}).encode()
    cleaned = json.loads(REDACTOR.json(record))
    assert cleaned[name].startswith(f"<{found}:")
    assert cleaned["n"] == 1


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "input_tokens", "output_tokens", "token_count", "max_token",
     "tokens", "token_limit", "token_type", "token_usage", "prompt_token_details",
     "secretary", "phonetic", "credit_card", "birthplace", "author", "cookiecutter"],
)  # fmt: skip
def test_a_value_under_a_public_key_is_not_changed(name: str) -> None:
    record = json.dumps({name: "x y", "n": 1}).encode()
    assert REDACTOR.json(record) is record


def test_all_values_below_a_private_key_are_redacted() -> None:
    record = b'{"token": {"a": [1, "x", null, true, false, ""], "cvv": {"b": -1.5e3}}}'
    cleaned = json.loads(REDACTOR.json(record))["token"]
    one, text, *others = cleaned["a"]
    assert one.startswith("<token:")
    assert text.startswith("<token:")
    assert others == [None, True, False, ""]
    assert cleaned["cvv"]["b"].startswith("<cvv:")


def test_a_card_that_is_a_number_is_redacted() -> None:
    cleaned = json.loads(REDACTOR.json(b'{"card": 4111111111111111, "n": 1716200000}'))
    assert cleaned["card"].startswith("<card:")
    assert cleaned["n"] == 1716200000


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
    cleaned = json.loads(REDACTOR.json(b'{"token": "x", "secret": "x"}'))
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
