"""`semloop spool`: list, send and print what agents left."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from semloop.agent.spool.folder import file_name
from semloop.agent.spool.layout import HEADER_BYTES
from semloop.agent.spool.names import spool_name
from semloop.settings import Settings, load
from tests.cli.helpers import Semloop
from tests.sdk.sent_events import sent
from tests.support.lakes import a_topic
from tests.support.services import free_port
from tests.support.spools import a_writer, emit, leave, unsent_texts

SECRET = "the content of a message"


@pytest.fixture
def semloop(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Semloop:
    monkeypatch.setenv("SEMLOOP_SPOOL", "spool")
    monkeypatch.setenv("SEMLOOP_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("SEMLOOP_AGENT_FLUSH_S", "0.1")
    return Semloop(capsys)


@pytest.fixture
def spool() -> Path:
    return Path("spool")


def settings_of(spool: Path, **values: Any) -> Settings:
    return load({}, spool=str(spool), **({"kafka": "127.0.0.1:1"} | values))


def listed(semloop: Semloop) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(semloop("spool", "--format", "json"))
    return rows


@pytest.fixture
def connected(settings: Settings, spool: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:  # fmt: skip
    """The test's broker and topic, as the settings of the command."""
    monkeypatch.setenv("SEMLOOP_KAFKA", str(settings.kafka))
    monkeypatch.setenv("SEMLOOP_TOPIC", settings.topic)
    monkeypatch.delenv("SEMLOOP_AGENT_FLUSH_S")
    return settings.replace(spool=str(spool))


def test_the_list_shows_each_owner_and_no_content(
    semloop: Semloop, spool: Path
) -> None:
    assert listed(semloop) == []
    assert semloop("spool") == "Nothing is in the spool spool.\n"
    here, there = settings_of(spool), settings_of(spool, topic="another")
    leave(here, SECRET, SECRET, timestamp="2026-11-20T11:59:00Z")
    leave(there, SECRET)
    running = a_writer(here)
    emit(running, SECRET)
    before = {path: path.read_bytes() for path in spool.iterdir()}
    rows = {(row["state"], row["name"]): row for row in listed(semloop)}
    row = rows["ended", "127_0_0_1_1-agent-events"]
    assert (row["events"], row["damaged"], row["sent_here"]) == (2, 0, True)
    assert row["oldest"] == row["newest"] == "2026-11-20T11:59:00+00:00"
    assert row["bytes"] > 2 * len(SECRET)
    assert rows["running", row["name"]]["pid"] == os.getpid()
    assert rows["ended", "127_0_0_1_1-another"]["sent_here"] is False
    out = semloop("spool")
    assert "3 rows" in out
    target = "the topic 'agent-events' at 127.0.0.1:1"
    assert f"Run `semloop spool send` to send 2 events to {target}." in out
    assert "For another broker or topic: 127_0_0_1_1-another." in out
    assert SECRET not in out + json.dumps(list(rows.values()))
    assert {path: path.read_bytes() for path in spool.iterdir()} == before
    running.close()


def test_the_list_shows_files_that_no_process_sends(
    semloop: Semloop, spool: Path
) -> None:
    leave(settings_of(spool), "one", "two")
    [segment] = spool.glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[HEADER_BYTES + 20] ^= 1
    segment.write_bytes(content)
    segment.with_suffix(".damaged").write_bytes(content)
    (spool / "a.1-f.jsonl").write_bytes(b"{}\n")
    (spool / "b.1-f.000001.seg").symlink_to(segment.absolute())
    found = {row["state"]: row for row in listed(semloop)}
    assert set(found) == {"ended", "damaged", "earlier", "refused"}
    assert (found["ended"]["events"], found["ended"]["damaged"]) == (1, 1)
    assert found["refused"]["file"] == "b.1-f.000001.seg"
    out = semloop("spool")
    assert "`semloop import spool/FILE --format events`" in out
    assert "Damaged" in out
    assert "Refused" in out


def test_cat_prints_what_ended_processes_left_and_import_reads_it(
    semloop: Semloop, connected: Settings, spool: Path
) -> None:
    old = settings_of(spool)
    leave(old, "great \u2028 é", "two")
    leave(old.replace(topic="another"), "three")
    running = a_writer(old)
    emit(running, "four")
    assert len(semloop("spool", "cat").splitlines()) == 3
    lines = semloop("spool", "cat", file_name(spool_name(old)))
    texts = [json.loads(line)["payload"]["content"] for line in lines.splitlines()]
    assert texts == ["great \u2028 é", "two"]
    Path("events").write_text(lines)
    for _ in range(2):
        semloop("import", "events", "--format", "events")
    assert {event["payload"]["content"] for event in sent(connected)} == set(texts)
    assert len(unsent_texts(spool)) == 4
    running.close()


def test_send_sends_everything_in_order_and_leaves_no_file(
    semloop: Semloop, connected: Settings, spool: Path
) -> None:
    texts = [f"{n}" for n in range(30)]
    leave(connected, *texts[:20])
    leave(connected, *texts[20:])
    leave(settings_of(spool), "for another broker")
    code, out, err = semloop.run("spool", "send")
    assert code == 0
    place = f"the topic {connected.topic!r} at {connected.kafka}"
    assert out == f"Sent 30 events to {place}.\n"
    assert err.startswith("For another broker or topic: 127_0_0_1_1-agent-events.")
    assert [event["payload"]["content"] for event in sent(connected)] == texts
    assert [row["sent_here"] for row in listed(semloop)] == [False]
    code, out, _ = semloop.run("spool", "send")
    assert (code, out) == (0, f"Nothing is left to send to {place}.\n")


def test_send_from_a_name_sends_what_was_left_for_a_broker_that_moved(
    semloop: Semloop, connected: Settings, spool: Path
) -> None:
    leave(settings_of(spool), "one", "two")
    leave(settings_of(spool, topic="another"), "three")
    out = semloop("spool", "send", "--from", "127_0_0_1_1-agent-events")
    assert out.startswith("Sent 2 events to ")
    assert [event["payload"]["content"] for event in sent(connected)] == ["one", "two"]
    assert unsent_texts(spool) == ["three"]


def test_send_leaves_the_events_of_running_processes_to_them(
    semloop: Semloop, connected: Settings, spool: Path
) -> None:
    running = a_writer(connected)
    emit(running, "mine")
    leave(connected, "left")
    assert semloop("spool", "send").startswith("Sent 1 event to ")
    assert [event["payload"]["content"] for event in sent(connected)] == ["left"]
    assert unsent_texts(spool) == ["mine"]
    running.close()


def test_send_without_a_broker_fails_in_two_lines_and_keeps_the_events(
    semloop: Semloop, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("SEMLOOP_KAFKA", kafka)
    leave(settings_of(spool, kafka=kafka), "one", "two")
    what, todo = semloop.refused("spool", "send")
    assert what.startswith(f"Kafka at {kafka} is unavailable: no server listens")
    assert todo.startswith("Not sent: 2 events.")
    assert unsent_texts(spool) == ["one", "two"]


def test_send_without_a_stack_says_which_setting_is_missing(
    semloop: Semloop, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEMLOOP_KAFKA")
    leave(settings_of(spool, kafka=None), "one")
    what, todo = semloop.refused("spool", "send")
    assert what.startswith("SEMLOOP_KAFKA is not set, and no stack of `semloop up`")
    assert todo.startswith("Not sent: 1 event.")
    lake = Path(".semloop").absolute()
    assert f"send 1 event to the topic 'agent-events' of the stack of {lake}." in (
        semloop("spool")
    )


def test_send_reports_events_that_the_topic_does_not_accept(
    semloop: Semloop, connected: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(connected, "fits", "x" * 6_000_000)
    code, out, err = semloop.run("spool", "send")
    assert (code, out.partition(" to ")[0]) == (1, "Sent 1 event")
    what, todo = err.splitlines()
    assert what.startswith("1 event cannot be sent, and was removed: the topic does")
    assert "semloop spool cat" in todo
    assert [event["payload"]["content"] for event in sent(connected)] == ["fits"]


@pytest.mark.parametrize("line", ["send --from nothing", "cat nothing"])
def test_an_unknown_name_is_refused_with_those_that_there_are(
    semloop: Semloop, spool: Path, line: str
) -> None:
    what, todo = semloop.refused("spool", *line.split())
    assert what == "Nothing in the spool spool has the name 'nothing'."
    assert todo == "It is empty."
    leave(settings_of(spool, topic=a_topic()), "one")
    assert semloop.refused("spool", *line.split())[1].startswith(
        "There is: 127_0_0_1_1-"
    )


@pytest.mark.parametrize("line", ["", "send", "cat"])
def test_a_spool_that_is_off_is_reported(
    semloop: Semloop, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("SEMLOOP_SPOOL", "off")
    what, _ = semloop.refused("spool", *line.split())
    assert what == "The spool is off: SEMLOOP_SPOOL=off."


def test_a_spool_that_cannot_be_read_is_not_shown_as_empty(
    semloop: Semloop, spool: Path
) -> None:
    spool.touch()
    what, _ = semloop.refused("spool")
    assert what == "The spool spool is not a folder that this user can read."
