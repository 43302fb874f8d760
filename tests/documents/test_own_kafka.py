"""docs/agents.md and docs/operating.md on a Kafka that SemLoop did not start."""

import shlex
from pathlib import Path

import pytest

from semloop import Lake
from semloop.flow_registry import STREAMING
from semloop.kafka.topic import TopicAdmin
from semloop.storage.location import Storage
from tests.kafka.secure_broker import PASSWORD, Secure, settings_for, user
from tests.support.documents import OWN_KAFKA, Project, blocks
from tests.support.lakes import a_topic
from tests.support.services import Broker

pytestmark = pytest.mark.process

AGENTS, OPERATING = map(blocks, OWN_KAFKA)
# The flows of the page run until they are stopped; here, until they have caught up.
ONCE = {
    f"semloop run {flow}": f"semloop run {flow} --until-caught-up" for flow in STREAMING
}
ARCHIVE = {run: once for run, once in ONCE.items() if run.endswith(" archive")}


def test_the_flows_store_what_the_agents_page_sends(
    broker: Broker, storage: Storage, tmp_path: Path
) -> None:
    kafka = {"SEMLOOP_KAFKA": broker.address, "SEMLOOP_TOPIC": a_topic()}
    project = Project(tmp_path, **kafka)
    for block in AGENTS:
        project.run(block)
    values = {
        "kafka-1:9092,kafka-2:9092": broker.address,
        "/data/lake": shlex.quote(storage.root),
    }
    flows, _ = OPERATING
    values |= ONCE | {"maintain all --every 60": "maintain all"}
    output = project.run(flows.replaced(values))
    assert "Memories: 5" in output
    with Lake(storage.root) as lake:
        stored = lake.sql("SELECT type FROM events ORDER BY type").fetchall()
    assert [kind for (kind,) in stored] == [
        "completion", "feedback", "message", "message", "state_change", "tool_call",
        "tool_call",
    ]  # fmt: skip


@pytest.mark.real_broker
def test_archive_runs_with_the_tls_and_login_of_the_operators_page(
    secure: Secure, tmp_path: Path
) -> None:
    topic = a_topic()
    (tmp_path / "ca.pem").write_bytes(Path(secure.folder, "ca.pem").read_bytes())
    login = user("bob") | {"kafka_ca": "ca.pem", "topic": topic}
    TopicAdmin(settings_for(secure, "login", login)).ensure()
    values = {
        "kafka-1:9093": secure.login,
        "USER=semloop": "USER=bob",
        "PASSWORD=...": f"PASSWORD={shlex.quote(PASSWORD)}",
    }
    _, example = OPERATING
    output = Project(tmp_path, SEMLOOP_TOPIC=topic).run(
        example.replaced(values | ARCHIVE)
    )
    assert "sasl_ssl as 'bob'" in output
    with Lake(tmp_path / ".semloop") as lake:
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(0,)]
