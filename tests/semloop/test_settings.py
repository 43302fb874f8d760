"""Sources of settings, and the errors for invalid ones."""

import ast
import itertools
import json
import logging
from inspect import getsource
from pathlib import Path

import msgspec
import pytest

from semloop.errors import ConfigError
from semloop.settings import (
    CONFIG_FILE,
    PREFIX,
    Secret,
    Settings,
    load,
    memory_sections,
    model,
    sections,
)
from semloop.settings.memory_sections import RewardBase
from semloop.settings.model import setting_fields

MODULES = (sections, memory_sections, model)
HIDDEN = "tr0ub4dor&3-horse"


def write(folder: Path, text: str) -> None:
    (folder / CONFIG_FILE).write_text(text, "utf-8")


def refused(environ: dict[str, str] | None = None, **overrides: object) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        load(environ or {}, **overrides)  # type: ignore[arg-type]
    assert "\n" not in error.value.what
    assert "\n" not in error.value.todo
    return error.value


def test_without_file_and_environment_the_defaults_apply(tmp_path: Path) -> None:
    found = load({})
    assert found == Settings().replace(lake=str(tmp_path / ".semloop"))
    assert (found.kafka, found.topic, found.archive.partitions) == (
        None,
        "agent-events",
        4,
    )
    assert (found.commits.rows, found.commits.interval_s) == (100_000, 1.0)
    assert (found.metrics.port, found.debug, found.redaction.key) == (0, False, None)


def test_the_order_is_overrides_then_environment_then_file_then_default(
    tmp_path: Path,
) -> None:
    write(tmp_path, 'topic = "file"\npartitions = 7\nmetrics_port = 1\nkafka = "f:1"')
    environ = {"SEMLOOP_TOPIC": "environ", "SEMLOOP_METRICS_PORT": "2"}
    found = load(environ, topic="override", kafka=None)
    assert found.topic == "override"
    assert found.metrics.port == 2
    assert found.archive.partitions == 7
    assert found.kafka == "f:1"
    assert found.archive.poll_records == Settings().archive.poll_records


def test_the_file_is_read_from_the_given_folder(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write(tmp_path / "other", 'topic = "there"')
    assert load({}).topic == "agent-events"
    assert load({}, tmp_path / "other").topic == "there"


def test_the_environment_of_the_process_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEMLOOP_TOPIC", "mine")
    assert load().topic == "mine"


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    write(tmp_path, 'topic = "file"')
    assert load({"SEMLOOP_TOPIC": "", "SEMLOOP_PARTITIONS": ""}).topic == "file"


def test_other_variables_are_ignored() -> None:
    assert load({"SEMLOOP_TEST_SERVICES": "x", "TOPIC": "y"}) == load({})


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), ("false", False), ("0", False)],
)
def test_a_boolean_is_read_from_text(text: str, value: bool) -> None:
    assert load({"SEMLOOP_DEBUG": text}).debug is value


def test_lists_and_patterns_are_read_from_text_and_file(tmp_path: Path) -> None:
    patterns = {"badge": r"B-\d{4}", "seat": "[A-F]"}
    environ = {
        "SEMLOOP_REDACT_KEYS": " passport_number, badge ,,",
        "SEMLOOP_REDACT_PATTERNS": json.dumps(patterns),
    }
    found = load(environ)
    assert found.redaction.keys == ("passport_number", "badge")
    assert found.redaction.patterns == patterns
    write(
        tmp_path,
        'redact_keys = ["a", "b"]\n[redact_patterns]\nbadge = "B-\\\\d{4}"\n',
    )
    found = load({})
    assert (found.redaction.keys, found.redaction.patterns) == (
        ("a", "b"),
        {"badge": r"B-\d{4}"},
    )


def test_missing_fields_of_an_object_keep_their_defaults(tmp_path: Path) -> None:
    found = load({"SEMLOOP_REWARD_BASE": '{"failure": 0.1}'}).rewards.base
    assert (found.failure, found.success) == (0.1, 1.0)
    write(tmp_path, "[reward_base]\nunknown = 0\n[reward_tags]\nvisa = 0.5\n")
    assert load({}).rewards.base.unknown == 0
    assert load({}).rewards.tags == {"visa": 0.5}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"sucess": 1}', "object contains unknown field `sucess`."),
        ('{"success": 2}', "expected `float` <= 1.0."),
        ('{"failure": -1}', "expected `float` >= 0.0."),
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


def test_a_local_lake_becomes_absolute_and_an_s3_url_is_unchanged(
    tmp_path: Path,
) -> None:
    local = load({"SEMLOOP_LAKE": "some/lake"})
    assert (local.lake, local.on_s3) == (str(tmp_path / "some/lake"), False)
    remote = load({"SEMLOOP_LAKE": "s3://bucket/prefix"})
    assert (remote.lake, remote.on_s3) == ("s3://bucket/prefix", True)


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


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_settings_are_immutable() -> None:
    with pytest.raises(AttributeError):
        load({}).topic = "other"  # type: ignore[misc]


def test_every_setting_has_a_description() -> None:
    descriptions: dict[tuple[str, str], object] = {}
    for node in (n for m in MODULES for n in ast.parse(getsource(m)).body):
        if not isinstance(node, ast.ClassDef):
            continue
        for field, after in itertools.pairwise(node.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                value = after.value if isinstance(after, ast.Expr) else None
                text = value.value if isinstance(value, ast.Constant) else ""
                descriptions[node.name, field.target.id] = text
    for name, setting in setting_fields().items():
        owner = getattr(Settings(), setting.section) if setting.section else Settings()
        description = descriptions[type(owner).__name__, setting.field]
        assert isinstance(description, str), name
        assert description[:1].isupper(), name
        assert description.endswith("."), name


def test_a_setting_can_be_read_and_replaced_by_name() -> None:
    found = Settings().replace(topic="other", commit_rows=5, metrics_port=7)
    assert (found.topic, found.commits.rows, found.metrics.port) == ("other", 5, 7)
    assert [found.value(n) for n in ("topic", "commit_rows")] == ["other", 5]
    with pytest.raises(KeyError):
        found.replace(colour="red")


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
