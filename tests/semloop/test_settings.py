"""Sources of settings, and the description of each."""

import ast
import itertools
import json
from inspect import getsource
from pathlib import Path

import pytest

from semloop.settings import (
    Settings,
    cost_section,
    load,
    maintenance_section,
    memory_sections,
    model,
    publish_section,
    sections,
)
from semloop.settings.model import setting_fields
from tests.semloop.given_settings import write

MODULES = (
    sections, cost_section, maintenance_section, memory_sections, model, publish_section,
)  # fmt: skip


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


def test_a_local_lake_becomes_absolute_and_an_s3_url_is_unchanged(
    tmp_path: Path,
) -> None:
    local = load({"SEMLOOP_LAKE": "some/lake"})
    assert (local.lake, local.on_s3) == (str(tmp_path / "some/lake"), False)
    remote = load({"SEMLOOP_LAKE": "s3://bucket/prefix"})
    assert (remote.lake, remote.on_s3) == ("s3://bucket/prefix", True)


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
