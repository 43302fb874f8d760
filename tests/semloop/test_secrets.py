"""Secret values appear in no log, error or representation of the settings."""

import logging

import msgspec
import pytest

from semloop.settings import PREFIX, Secret, load
from semloop.settings.model import setting_fields
from tests.semloop.given_settings import HIDDEN, refused


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("topic", 7),
        ("redact_keys", [HIDDEN, 1]),
        ("redact_patterns", {"name": 1}),
        ("redaction_key", 12345),
        ("redaction_key", [HIDDEN]),
    ],
    ids=["number as text", "number in a list", "number as pattern", "number as secret",
         "list as secret"],
)  # fmt: skip
def test_the_error_for_a_value_of_the_wrong_type_never_shows_it(
    name: str, value: object
) -> None:
    error = refused({}, **{name: value})
    assert repr(name) in error.what
    assert HIDDEN not in str(error)
    assert "12345" not in str(error)


def test_the_error_for_patterns_that_are_not_a_json_object_never_shows_them() -> None:
    error = refused({"SEMLOOP_REDACT_PATTERNS": "{" + HIDDEN})
    assert error.what == "SEMLOOP_REDACT_PATTERNS is not a JSON object."
    assert HIDDEN not in str(error)
    assert "redact_patterns" in refused({"SEMLOOP_REDACT_PATTERNS": "[1]"}).what


def test_the_error_for_a_secret_under_another_name_never_shows_it() -> None:
    any_text = {"lake", "kafka", "topic", "metrics_host", "redact_keys"}
    any_text |= {"kafka_ca", "kafka_certificate", "kafka_key", "kafka_user", "spool"}
    any_text |= {"embedder_model", "embedder_url"}
    any_text |= {"redaction_keys_old", "redact_allow", "redact_countries"}
    secret = {"redaction_key", "kafka_password", "kafka_key_password", "embedder_key"}
    for name in setting_fields():
        if name not in any_text | secret:  # those accept any text
            error = refused({PREFIX + name.upper(): HIDDEN})
            assert HIDDEN not in str(error), name


def test_a_secret_is_masked_everywhere(caplog: pytest.LogCaptureFixture) -> None:
    found = load({"SEMLOOP_REDACTION_KEY": HIDDEN})
    secret = found.redaction.key
    assert secret is not None
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r %s", secret, secret, found)
    with pytest.raises(TypeError) as error:
        msgspec.json.encode(found)
    shown = [
        str(secret), repr(secret), f"{secret}", f"{secret!r}", f"{secret:}",
        format(secret), str([secret]), repr(found), str(found), caplog.text,
        str(error.value), str(vars(Secret)), str(msgspec.structs.asdict(found)),
    ]  # fmt: skip
    assert not [text for text in shown if HIDDEN in text]
    assert secret.reveal() == HIDDEN


def test_earlier_keys_are_masked_and_separated_by_commas() -> None:
    found = load({"SEMLOOP_REDACTION_KEYS_OLD": f"{HIDDEN}, {HIDDEN} 2"})
    assert found.redaction.keys_old == (Secret(HIDDEN), Secret(f"{HIDDEN} 2"))
    assert HIDDEN not in repr(found)
    error = refused({}, redaction_keys_old=[HIDDEN, 1])
    assert (HIDDEN in str(error), "redaction_keys_old" in error.what) == (False, True)


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
