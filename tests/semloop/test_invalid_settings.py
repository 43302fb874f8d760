"""The error for an invalid setting names it and says what to correct."""

import json
from pathlib import Path

import pytest

from semloop.settings import CONFIG_FILE, PREFIX, Settings
from semloop.settings.memory_sections import RewardBase
from semloop.settings.model import setting_fields
from tests.semloop.given_settings import HIDDEN, refused, write


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"sucess": 1}', "object contains unknown field `sucess`."),
        ('{"success": 2}', "expected a number of at most 1."),
        ('{"failure": -1}', "expected a number of at least 0."),
        ("7", "expected `object`, got `int`."),
    ],
    ids=["unknown outcome", "too large", "negative", "not an object"],
)
def test_the_error_for_a_field_of_an_object_names_the_setting(
    text: str, what: str
) -> None:
    error = refused({"SEMLOOP_REWARD_BASE": text})
    assert error.what == f"Setting 'reward_base': {what}"
    todo = f"Correct SEMLOOP_REWARD_BASE or `reward_base` in {CONFIG_FILE}."
    assert error.todo == todo


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("redact", "keys, standard, strict"),
        ("kafka_sasl_mechanism", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ("memory_kinds", "message, tool_call, error, episode"),
    ],
)
def test_the_error_for_a_value_of_a_list_has_the_list(name: str, allowed: str) -> None:
    error = refused({PREFIX + name.upper(): HIDDEN})
    assert error.what == f"Setting {name!r}: expected one of {allowed}."
    assert HIDDEN not in str(error)


@pytest.mark.parametrize(
    ("name", "todo"),
    [("topics", "Did you mean 'topic'?"), ("colour", "Remove it.")],
    ids=["misspelled", "unknown"],
)
def test_an_unknown_setting_in_the_file_is_refused_with_a_suggestion(
    tmp_path: Path, name: str, todo: str
) -> None:
    write(tmp_path, f'{name} = "{HIDDEN}"')
    error = refused()
    assert error.what == f"{tmp_path / CONFIG_FILE}: unknown setting {name!r}."
    assert error.todo == todo


@pytest.mark.parametrize(
    "text",
    ["topic = ", "topic = 'a'\ntopic = 'b'", "[[["],
    ids=["no value", "duplicate key", "no key"],
)
def test_the_error_for_a_file_that_is_not_toml_is_one_line(
    tmp_path: Path, text: str
) -> None:
    write(tmp_path, text)
    error = refused()
    assert error.what.startswith(f"{tmp_path / CONFIG_FILE} cannot be read: ")
    assert error.todo == "It must be a TOML file with lines `setting = value`."


def test_the_error_for_a_file_that_is_not_utf8_is_one_line(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_bytes(b"topic = '\xff'")
    assert "cannot be read" in refused().what


INVALID = {
    "text as number": ("partitions", "many"),
    "number too small": ("partitions", "0"),
    "negative time": ("commit_interval_s", "-1"),
    "port too large": ("metrics_port", "65536"),
    "unknown level": ("log_level", "loud"),
    "fraction as integer": ("commit_rows", "1.5"),
    "text as boolean": ("debug", "perhaps"),
}


@pytest.mark.parametrize(("name", "text"), INVALID.values(), ids=INVALID)
def test_the_error_for_an_invalid_value_names_the_setting_and_its_variable(
    tmp_path: Path, name: str, text: str
) -> None:
    variable = PREFIX + name.upper()
    by_environment = refused({variable: text})
    assert by_environment.what.startswith(f"Setting {name!r}: ")
    assert by_environment.todo == f"Correct {variable} or `{name}` in {CONFIG_FILE}."
    write(tmp_path, f'{name} = "{text}"')
    by_file = refused()
    assert (by_file.what, by_file.todo) == (by_environment.what, by_environment.todo)


OBJECTS = [
    name
    for name in setting_fields()
    if isinstance(Settings().value(name), (dict, RewardBase))
]


@pytest.mark.parametrize("name", OBJECTS)
def test_the_error_for_a_variable_that_is_not_an_object_has_an_example(
    name: str,
) -> None:
    error = refused({PREFIX + name.upper(): "{"})
    assert error.what == f"{PREFIX}{name.upper()} is not a JSON object."
    example = error.todo.removeprefix("Write ").removesuffix(".")
    # Without the dots, the example is JSON.
    assert isinstance(json.loads(example.replace(", ...", "")), dict)
