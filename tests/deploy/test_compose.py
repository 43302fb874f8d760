"""The file `deploy/compose.yaml`, and what it mounts.

`compose-spec.json` is the schema of https://github.com/compose-spec/compose-spec at
170098ba07d9, under the Apache License 2.0.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import jsonschema
import prometheus_client
import pytest
import yaml
from markdown_it import MarkdownIt

from flows.probes import with_probes
from schemas.metrics import DECLARED, Metrics
from semloop.flow_registry import STREAMING
from semloop.kafka import topic
from semloop.settings import DEFAULT_TOPIC, Settings, load
from tests.deploy.program import accept, parse
from tests.support.processes import ROOT
from tests.support.services import free_port

DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
IMAGE = "semloop:0.1.0"
# "${NAME:?text}"
VARIABLE = re.compile(r"\$\{(\w+)[^}]*\}")
# Names of functions and labels of PromQL have no prefix of ours.
METRIC = re.compile(r"\b(?:semloop_\w+|up)\b")


def services() -> dict[str, Any]:
    """Return the services of the file, by name."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def flow_services() -> dict[str, Any]:
    """Return the services that run our image."""
    return {n: s for n, s in services().items() if s["image"] == IMAGE}


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of a service, with a value for each variable of `.env`."""
    given: Mapping[str, object] = service["environment"]
    return {name: VARIABLE.sub("x" * 8, str(value)) for name, value in given.items()}


def settings_of(service: Mapping[str, Any]) -> Settings:
    """Return the settings of a service."""
    return accept(environment(service))


def test_compose_accepts_the_file() -> None:
    schema = json.loads((ROOT / "tests/deploy/compose-spec.json").read_text())
    # `x-` names templates, which YAML has merged into the services.
    jsonschema.Draft7Validator(schema).validate(yaml.safe_load(COMPOSE.read_text()))


def test_the_example_has_every_variable() -> None:
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    given = {line.partition("=")[0] for line in lines if not line.startswith("#")}
    assert given == set(VARIABLE.findall(COMPOSE.read_text()))


def test_every_streaming_flow_has_a_service_and_one_maintains_the_lake() -> None:
    commands = {name: parse(s["command"]) for name, s in flow_services().items()}
    assert commands == {name: name for name in STREAMING} | {"maintenance": "all"}


def test_the_program_accepts_every_setting() -> None:
    for name, service in flow_services().items():
        settings = settings_of(service)
        assert settings.kafka == "kafka:19092", name
        assert settings.on_s3, name


def test_the_topic_is_as_the_program_would_create_it() -> None:
    command = services()["topic"]["command"]
    flags = list(pairwise(command))
    config = {value for flag, value in flags if flag == "--config"}
    expected = topic.BYTES_CONFIG | topic.TIME_CONFIG
    assert config == {f"{name}={value}" for name, value in expected.items()}
    assert ("--topic", DEFAULT_TOPIC) in flags
    assert ("--partitions", str(load({}).archive.partitions)) in flags


def test_images_and_what_is_mounted_exist() -> None:
    for name, service in services().items():
        assert re.search(r":[\w.-]*\d", service["image"]), f"{name} is not pinned"
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).is_file(), name


@pytest.mark.process
def test_the_check_of_a_flow_passes_once_it_reads() -> None:
    checked = [service for n, service in flow_services().items() if n in STREAMING]
    (check,) = {tuple(service["healthcheck"]["test"]) for service in checked}
    _, _, *arguments = check
    metrics, port = Metrics(), free_port()
    server, _ = prometheus_client.start_http_server(port, "127.0.0.1", metrics.registry)
    app = prometheus_client.make_wsgi_app(metrics.registry)
    server.set_app(with_probes(app, metrics.signs, load({})))
    served = str(settings_of(checked[0]).metrics.port)
    assert arguments[1].count(served) == 1
    arguments[1] = arguments[1].replace(served, str(port))

    def code() -> int:
        command = [sys.executable, *arguments]
        return subprocess.run(command, stderr=subprocess.DEVNULL).returncode

    try:
        before = code()
        metrics.signs.beat(0)
        assert (before, code()) == (1, 0)
    finally:
        server.shutdown()
        server.server_close()


def test_the_check_of_maintenance_is_a_command() -> None:
    _, *command = services()["maintenance"]["healthcheck"]["test"]
    assert parse(command) == "health"


def test_prometheus_asks_every_streaming_flow() -> None:
    found = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())
    (job,) = found["scrape_configs"]
    (targets,) = job["static_configs"]
    expected = {
        f"{name}:{settings_of(service).metrics.port}"
        for name, service in flow_services().items()
        if name in STREAMING
    }
    assert set(targets["targets"]) == expected
    assert [(DEPLOY / "prometheus" / f).exists() for f in found["rule_files"]] == [True]


def alerts() -> list[dict[str, Any]]:
    """Return the alerts of all groups."""
    found = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())
    return [rule for group in found["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_asks_metrics_that_exist(alert: dict[str, Any]) -> None:
    names = METRIC.findall(alert["expr"])
    assert names
    for name in names:
        own = name.removesuffix("_bucket")
        assert own == "up" or own in DECLARED, name
        # What counts since the start of a process says nothing without a rate.
        counts = own in DECLARED and DECLARED[own].kind != "gauge"
        assert counts == (f"rate({name}" in alert["expr"]), name
    labels = re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"])
    asked = re.findall(r"by \(([\w, ]+)\)", alert["expr"])
    # What is absent has the labels that were asked for.
    asked += re.findall(r"absent\(\w+{(\w+)=", alert["expr"])
    kept = set(re.findall(r"\w+", " ".join(asked))) or {"instance"}
    assert set(labels) <= kept


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_names_a_section_that_says_what_to_do(alert: dict[str, Any]) -> None:
    page, _, section = alert["annotations"]["runbook"].partition("#")
    tokens = MarkdownIt().parse((ROOT / page).read_text())
    titles = [
        tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"
    ]
    anchors = {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}
    assert section in anchors
