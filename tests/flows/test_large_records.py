"""Records of one to four MiB, from Kafka to the lake and back."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from semloop.errors import ConfigError
from semloop.kafka.topic import Topic
from semloop.lake.lake import Lake
from semloop.redaction.factory import redactor_of
from semloop.settings import Settings
from semloop.storage.location import Storage
from semloop.storage.redaction_key import writer_key
from tests.support.builders import an_event, raw
from tests.support.in_process import run_flow
from tests.support.prompt_producer import prompt_producer

LARGE = 2 * 2**20
SECRET = "sk-ant-api03-" + "".join(random.Random(4).choices("abcdefgh23456789", k=80))


def tool_call(result: object, **meta: str) -> dict[str, Any]:
    payload = {"tool": "cat", "status": "success", "result": result}
    return an_event("tool_call", payload=payload, meta=meta)


def produce(settings: Settings, *events: dict[str, Any]) -> None:
    producer = prompt_producer(settings)
    for event in events:
        producer.produce(settings.topic, raw(event), key=event["meta"]["session_id"])
    assert producer.flush(60) == 0


def test_a_large_record_keeps_its_event_and_its_redacted_values(
    settings: Settings, topic: Topic
) -> None:
    lines = [f"line {n}: nothing unusual" for n in range(60_000)]
    lines[30_000] = f"the key is {SECRET}"
    lines[-1] = "FAILED test_quokka: checksum mismatch in shard 17"
    event = tool_call("\n".join(lines))
    small = an_event()
    assert 2**20 < len(raw(event)) < 4 * 2**20
    produce(settings, small, event)
    run_flow(settings)
    key = writer_key(settings, Storage.of(settings))
    redactor = redactor_of(key, settings.redaction)
    with Lake(settings=settings) as lake:
        assert lake.sql("FROM dead_letters").fetchall() == []
        rows = {
            r["event_id"]: r
            for r in lake.sql("FROM events").to_arrow_table().to_pylist()
        }
        row = rows[event["id"]]
        value = lake.artifact(event["id"])
        payload = lake.payload(event["id"])
    assert rows[small["id"]]["artifacts"] is None
    assert len(row["payload"]) < 2**20
    assert (row["tool"], row["status"]) == ("cat", "success")
    shown = json.loads(row["payload"])["result"]
    assert shown.startswith(lines[0])
    assert shown.endswith(lines[-1])
    # With its values in their places, it is the redacted record byte for byte.
    redacted = json.loads(redactor.json(raw(event)))["payload"]
    assert payload == json.dumps(redacted).encode()
    assert value == redacted["result"]
    assert SECRET not in value
    secret = SECRET.encode()
    if not settings.on_s3:
        files = [f for f in Path(settings.lake).rglob("*") if f.is_file()]
        assert any("artifacts" in f.parts for f in files)
        assert not any(secret in f.read_bytes() for f in files)


def test_walls_hold_for_artifacts(settings: Settings, topic: Topic) -> None:
    first = tool_call("a" * LARGE, namespace="a", user_id="u-1")
    second = tool_call("b" * LARGE, namespace="b", user_id="u-2") | {"id": first["id"]}
    shared = [
        tool_call("c" * LARGE, namespace="c", session_id="s-2"),
        an_event(meta={"namespace": "c", "session_id": "s-2", "user_id": "u-1"}),
    ]
    forged = tool_call("d" * LARGE, namespace="d")
    forged["artifacts"] = [{"object": "artifacts/any", "column": "payload"}]
    produce(settings, first, second, *shared, forged)
    run_flow(settings)
    run_flow(settings.replace(embedder="hashing"), "memory")
    with Lake(settings=settings) as lake:
        artifact, event_id = lake.artifact, first["id"]
        assert artifact(event_id, namespace="a") == "a" * LARGE
        assert artifact(event_id, namespace="b", user="u-2") == "b" * LARGE
        assert artifact(event_id, user="u-1") == "a" * LARGE
        with pytest.raises(ConfigError, match="Several namespaces have an event"):
            artifact(event_id)
        for namespace, user in (("a", "u-2"), ("b", "u-1"), ("c", None), ("a", "")):
            with pytest.raises(ConfigError, match="behind these filters"):
                artifact(event_id, namespace=namespace, user=user)
        with pytest.raises(ConfigError, match="has 1 artifacts; there is no number 1"):
            artifact(event_id, 1, namespace="a")
        # An event without a user, in an episode with one user.
        assert artifact(shared[0]["id"], user="u-1") == "c" * LARGE
        with pytest.raises(ConfigError):
            artifact(shared[0]["id"], user="u-2")
        assert artifact(forged["id"]) == "d" * LARGE
        extra = (
            "SELECT extra->'artifacts'->0->>'object' FROM events WHERE namespace = 'd'"
        )
        assert lake.sql(extra).fetchall() == [("artifacts/any",)]
