"""End-to-end check of a lake, for a folder or any S3 server."""

import os
import subprocess
import sys

from semloop.command.cli import health_report, status_report
from semloop.kafka.topic import TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.support.builders import an_event, raw
from tests.support.commands import run_command
from tests.support.in_process import run_flow
from tests.support.prompt_producer import prompt_producer
from tests.support.stores import SECRET

PLAIN_DUCKDB = """
import sys, duckdb
with duckdb.connect() as plain:
    plain.execute("SET enable_progress_bar = false")  # It prints to stdout.
    plain.execute(sys.stdin.read())
    print(plain.sql("SELECT count(*) FROM events").fetchone()[0])
"""


def check_end_to_end(settings: Settings, events: int = 25) -> None:
    """Produce and archive events; check that all readers return the same counts."""
    TopicAdmin(settings).ensure()
    producer = prompt_producer(settings)
    for _ in range(events):
        producer.produce(settings.topic, key="s-1", value=raw(an_event()))
    producer.produce(settings.topic, key="s-1", value=b"{")
    assert producer.flush(60) == 0
    run_flow(settings)
    with Lake(settings.lake) as lake:
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(events,)]
        assert lake.sql("SELECT reason FROM dead_letters").fetchall() == [("not_json",)]
    status = status_report.status(settings)
    assert status["lake"]["readable"]
    assert status["lake"]["tables"]["events"]["rows"] == events
    assert status["flows"]["archive"]["lag"] == 0
    assert health_report.health(settings)["ok"]
    assert _plain_duckdb(settings) == events
    _check_top_level_names(settings)


def _plain_duckdb(settings: Settings) -> int:
    """Count events in a fresh DuckDB with the statements from `--print-init`."""
    script = run_command(settings, "sql", "--print-init")
    assert SECRET not in script
    environment = dict(os.environ)
    if bundle := environment.get("AWS_CA_BUNDLE"):
        environment["SSL_CERT_FILE"] = bundle
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_DUCKDB],
        input=script, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def _check_top_level_names(settings: Settings) -> None:
    storage = Storage.of(settings)
    if not storage.on_s3:
        return
    names = {name.partition("/")[0] for name in storage.objects.names()}
    tables = {"events", "dead_letters", "streams"}
    assert names == {"_activity", "_layout.json", "_redaction_key.json", *tables}
