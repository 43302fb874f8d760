"""Where a setting comes from, and what is said about a wrong one."""

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
from semloop.settings.model import places

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


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    found = load({})
    assert found == Settings().replace(lake=str(tmp_path / ".semloop"))
    assert (found.kafka, found.topic, found.archive.partitions) == (
        None,
        "agent-events",
        4,
    )
    assert (found.commits.rows, found.commits.interval_s) == (100_000, 1.0)
    assert (found.metrics.port, found.debug, found.redaction.key) == (0, False, None)


def test_overrides_win_over_environment_over_file_over_default(tmp_path: Path) -> None:
    write(tmp_path, 'topic = "file"\npartitions = 7\nmetrics_port = 1\nkafka = "f:1"')
    environ = {"SEMLOOP_TOPIC": "environ", "SEMLOOP_METRICS_PORT": "2"}
    found = load(environ, topic="override", kafka=None)
    assert found.topic == "override"
    assert found.metrics.port == 2
    assert found.archive.partitions == 7
    assert found.kafka == "f:1"
    assert found.archive.poll_records == Settings().archive.poll_records


def test_the_file_is_that_of_the_folder_asked_for(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write(tmp_path / "other", 'topic = "there"')
    assert load({}).topic == "agent-events"
    assert load({}, tmp_path / "other").topic == "there"


def test_the_environment_is_that_of_the_process_if_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEMLOOP_TOPIC", "mine")
    assert load().topic == "mine"


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path) -> None:
    write(tmp_path, 'topic = "file"')
    assert load({"SEMLOOP_TOPIC": "", "SEMLOOP_PARTITIONS": ""}).topic == "file"


def test_other_variables_are_none_of_our_business() -> None:
    assert load({"SEMLOOP_TEST_SERVICES": "x", "TOPIC": "y"}) == load({})


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), ("false", False), ("0", False)],
)
def test_a_switch_is_read_from_text(text: str, value: bool) -> None:
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


def test_what_is_not_said_of_an_object_keeps_its_default(tmp_path: Path) -> None:
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
    ids=["unknown outcome", "too much", "negative", "no object"],
)
def test_a_wrong_part_of_an_object_is_said_with_the_setting(
    text: str, what: str
) -> None:
    error = refused({"SEMLOOP_REWARD_BASE": text})
    assert error.what == f"Setting 'reward_base': {what}"
    todo = f"Correct SEMLOOP_REWARD_BASE or `reward_base` in {CONFIG_FILE}."
    assert error.todo == todo


def test_a_local_lake_is_absolute_and_one_on_s3_stays(tmp_path: Path) -> None:
    local = load({"SEMLOOP_LAKE": "some/lake"})
    assert (local.lake, local.on_s3) == (str(tmp_path / "some/lake"), False)
    remote = load({"SEMLOOP_LAKE": "s3://bucket/prefix"})
    assert (remote.lake, remote.on_s3) == ("s3://bucket/prefix", True)


@pytest.mark.parametrize(
    ("name", "todo"),
    [("topics", "Did you mean 'topic'?"), ("colour", "Remove it.")],
    ids=["nearly right", "quite unknown"],
)
def test_an_unknown_name_in_the_file_is_refused_with_a_suggestion(
    tmp_path: Path, name: str, todo: str
) -> None:
    write(tmp_path, f'{name} = "{HIDDEN}"')
    error = refused()
    assert error.what == f"{tmp_path / CONFIG_FILE}: there is no setting {name!r}."
    assert error.todo == todo


@pytest.mark.parametrize(
    "text",
    ["topic = ", "topic = 'a'\ntopic = 'b'", "[[["],
    ids=["half", "twice", "odd"],
)
def test_a_file_that_is_no_toml_is_said_in_one_line(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    error = refused()
    assert error.what.startswith(f"{tmp_path / CONFIG_FILE} cannot be read: ")
    assert error.todo == "It must be a TOML file of `setting = value`."


def test_a_file_that_is_no_text_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_bytes(b"topic = '\xff'")
    assert "cannot be read" in refused().what


WRONG = {
    "a word for a number": ("partitions", "many"),
    "a number too small": ("partitions", "0"),
    "a negative time": ("commit_interval_s", "-1"),
    "a port beyond all ports": ("metrics_port", "65536"),
    "a level that is none": ("log_level", "loud"),
    "a half number": ("commit_rows", "1.5"),
    "a word for a switch": ("debug", "perhaps"),
}


@pytest.mark.parametrize(("name", "text"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_said_with_its_name_and_without_itself(
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
    ids=["number for text", "number in a list", "number for a pattern", "number for a "
         "secret", "list for a secret"],
)  # fmt: skip
def test_a_value_of_the_wrong_form_never_shows_itself(name: str, value: object) -> None:
    error = refused({}, **{name: value})
    assert repr(name) in error.what
    assert HIDDEN not in str(error)
    assert "12345" not in str(error)


def test_patterns_that_are_no_json_object_are_refused_unseen() -> None:
    error = refused({"SEMLOOP_REDACT_PATTERNS": "{" + HIDDEN})
    assert error.what == "SEMLOOP_REDACT_PATTERNS is not a JSON object."
    assert HIDDEN not in str(error)
    assert "redact_patterns" in refused({"SEMLOOP_REDACT_PATTERNS": "[1]"}).what


def test_a_secret_put_under_a_wrong_name_is_not_shown() -> None:
    free = {"lake", "kafka", "topic", "metrics_host", "redact_keys"}
    free |= {"kafka_ca", "kafka_certificate", "kafka_key", "kafka_user", "spool"}
    free |= {"embedder_model", "embedder_url"}
    secret = {"redaction_key", "kafka_password", "kafka_key_password", "embedder_key"}
    for name in places():
        if name not in free | secret:  # in these any text is right
            error = refused({PREFIX + name.upper(): HIDDEN})
            assert HIDDEN not in str(error), name


def test_a_secret_never_shows_itself(caplog: pytest.LogCaptureFixture) -> None:
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


def test_secrets_are_equal_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(AttributeError):
        load({}).topic = "other"  # type: ignore[misc]


def test_every_setting_has_a_sentence() -> None:
    said: dict[tuple[str, str], object] = {}
    for node in (n for m in MODULES for n in ast.parse(getsource(m)).body):
        if not isinstance(node, ast.ClassDef):
            continue
        for field, after in itertools.pairwise(node.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                value = after.value if isinstance(after, ast.Expr) else None
                text = value.value if isinstance(value, ast.Constant) else ""
                said[node.name, field.target.id] = text
    for name, place in places().items():
        owner = getattr(Settings(), place.section) if place.section else Settings()
        sentence = said[type(owner).__name__, place.field]
        assert isinstance(sentence, str), name
        assert sentence[:1].isupper(), name
        assert sentence.endswith("."), name


def test_a_setting_is_found_and_replaced_by_its_name() -> None:
    found = Settings().replace(topic="other", commit_rows=5, metrics_port=7)
    assert (found.topic, found.commits.rows, found.metrics.port) == ("other", 5, 7)
    assert [found.value(n) for n in ("topic", "commit_rows")] == ["other", 5]
    with pytest.raises(KeyError):
        found.replace(colour="red")


OBJECTS = [n for n in places() if isinstance(Settings().value(n), (dict, RewardBase))]


@pytest.mark.parametrize("name", OBJECTS)
def test_a_variable_that_is_no_object_is_told_with_an_example(name: str) -> None:
    error = refused({PREFIX + name.upper(): "{"})
    assert error.what == f"{PREFIX}{name.upper()} is not a JSON object."
    example = error.todo.removeprefix("Write ").removesuffix(".")
    # But for the dots it is JSON.
    assert isinstance(json.loads(example.replace(", ...", "")), dict)
