"""What the settings choose: how much, what stays, which countries."""

import pytest

from semloop.errors import ConfigError
from semloop.redaction.choice import Choice
from semloop.redaction.redactor import Redactor
from semloop.settings import Secret

KEY = Secret("a key for tests only, 32 letters")
RANDOM = "k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf"


def redactor(**choice: object) -> Redactor:
    return Redactor(KEY, choice=Choice(**choice))  # type: ignore[arg-type]


def test_keys_leaves_people_and_finds_credentials() -> None:
    people = (
        "ann@example.com called +1 415 555 2671 from 10.1.2.3, born on 5 April 1990"
    )
    keys = redactor(level="keys")
    assert keys.text(people) is people
    record = b'{"dob": "1990-04-05", "phone": "+14155552671", "card": 4111111111111111}'
    assert keys.json(record) is record
    assert "S3cr3tPw9" not in keys.text("password: S3cr3tPw9")
    assert b"S3cr3tPw9" not in keys.json(b'{"password": "S3cr3tPw9"}')


def test_strict_adds_names_of_people_and_random_strings() -> None:
    record = b'{"first_name": "Ann", "city": "Oslo", "note": "got k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf"}'
    assert redactor().json(record) is record
    cleaned = redactor(level="strict").json(record)
    assert b"Ann" not in cleaned
    assert b"Oslo" in cleaned
    assert RANDOM.encode() not in cleaned
    ids = (
        "8712b8bc-076f-4787-b9d1-79e06c0fd4f5 9fceb02d0ae598e95dc970b74767f19372d61af8"
    )
    assert redactor(level="strict").text(ids) == ids


def test_allowed_texts_stay() -> None:
    own = redactor(allow=["*@EXAMPLE.com", "10.1.2.3"])
    assert own.text("help@example.com or 10.1.2.3") == "help@example.com or 10.1.2.3"
    assert "ann@x.org" not in own.text("ann@x.org, help@example.com")
    assert own.json(b'{"to": "help@example.com"}') == b'{"to": "help@example.com"}'


def test_national_phone_numbers_of_chosen_countries_need_no_word() -> None:
    text = "office 030 12345678"
    assert redactor().text(text) == text
    assert "12345678" not in redactor(countries=["DE"]).text(text)


def test_addresses_of_private_networks_stay_if_so_chosen() -> None:
    text = "from 10.1.2.3 and 192.0.2.44 to 93.184.216.34"
    assert "93.184.216.34" not in redactor(private_ips=False).text(text)
    assert "10.1.2.3 and 192.0.2.44" in redactor(private_ips=False).text(text)
    assert "10.1.2.3" not in redactor().text(text)


@pytest.mark.parametrize("country", ["de", "Germany", "XX", ""])
def test_an_unknown_country_is_a_config_error(country: str) -> None:
    with pytest.raises(ConfigError, match="redact_countries") as raised:
        redactor(countries=[country])
    assert raised.value.todo
