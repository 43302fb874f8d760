"""`archive` and the redaction key to which its lake is bound, as processes."""

import re
from pathlib import Path

import pytest

from semloop.kafka.topic import Topic
from semloop.lake.lake import Lake
from semloop.settings import LOCAL_FOLDER, Secret, Settings
from semloop.storage.key_file import KEY_FILE
from semloop.storage.location import Storage
from semloop.storage.redaction_key import (
    FINGERPRINT_FILE,
    fingerprint,
    lookup_keys,
    read_binding,
)
from tests.flows.flow_runner import (
    each_once,
    produce,
    run_archive,
    running_flow,
    stored_origins,
)
from tests.support import processes
from tests.support.builders import an_event

OTHER = "another key of some length"


def failed(settings: Settings, *, code: int = 3, **environ: str) -> list[str]:
    """Run `archive`, which must end with this exit code; return its lines."""
    result = processes.run(settings, "run", "archive", "--until-caught-up", **environ)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert (result.returncode, len(lines)) == (code, 2), result.stderr
    return lines


def own_key_file(settings: Settings) -> Path:
    return Path(settings.lake, LOCAL_FOLDER, KEY_FILE)


def test_archive_with_another_or_no_key_exits_with_3_and_stores_nothing(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 10)
    run_archive(settings)
    sent_later = produce(settings, 10)
    what, todo = failed(settings, SEMLOOP_REDACTION_KEY=OTHER)
    assert what.startswith(
        f"The redaction key is not the one of the lake {settings.lake}"
    )
    assert "SEMLOOP_REDACTION_KEY" in todo
    file = own_key_file(settings)
    key = file.read_text()
    file.unlink()
    what, todo = failed(settings)
    assert what == f"The redaction key of the lake {settings.lake} is missing here."
    assert todo.startswith(f"Restore {file}")
    assert not file.exists()
    assert stored_origins(settings) == each_once({topic.topic_id: sent})
    file.write_text(key)
    run_archive(settings)
    assert stored_origins(settings) == each_once({topic.topic_id: sent | sent_later})


@pytest.mark.usefixtures("topic")
def test_several_processes_of_archive_with_another_key_exit_with_3(
    settings: Settings,
) -> None:
    run_archive(settings)
    result = processes.run(
        settings, "run", "archive", "--processes", "2", SEMLOOP_REDACTION_KEY=OTHER
    )
    assert result.returncode == 3, result.stderr
    assert result.stderr.count("The redaction key is not the one of the lake") == 1


@pytest.mark.usefixtures("topic")
def test_a_lake_with_rows_is_bound_at_the_next_start(settings: Settings) -> None:
    run_archive(settings)
    fingerprint_file = Path(settings.lake, FINGERPRINT_FILE)
    before = fingerprint_file.read_bytes()
    fingerprint_file.unlink()
    run_archive(settings)
    assert fingerprint_file.read_bytes() == before


@pytest.mark.usefixtures("topic")
def test_first_starts_with_different_keys_leave_one_winner(settings: Settings) -> None:
    keys = ["a first key of some length", OTHER]
    with (
        running_flow(settings, "--until-caught-up", SEMLOOP_REDACTION_KEY=keys[0]) as a,
        running_flow(settings, "--until-caught-up", SEMLOOP_REDACTION_KEY=keys[1]) as b,
    ):
        ends = [a.wait_for_exit(), b.wait_for_exit()]
    found = read_binding(Storage.of(settings))
    assert found is not None
    winner = [fingerprint(Secret(key)) for key in keys].index(found.present)
    assert ends[winner] == (0, [])
    code, lines = ends[1 - winner]
    assert code == 3
    assert lines[0].startswith("The redaction key is not the one of the lake")


@pytest.mark.usefixtures("topic")
def test_rows_after_a_rotation_use_the_new_key_and_old_ones_can_be_looked_up(
    settings: Settings,
) -> None:
    event = an_event(payload={"role": "user", "content": "write to ann@example.com"})
    produce(settings, [event])
    run_archive(settings)
    shown = processes.check(settings, "maintain", "rotate-key")
    key = own_key_file(settings).read_text().splitlines()[0]
    assert f"fingerprint {fingerprint(Secret(key))[:12]}; earlier keys: 1." in shown
    assert key not in shown
    again = an_event(payload={"role": "user", "content": "write to ann@example.com"})
    produce(settings, [again])
    run_archive(settings)
    with Lake(settings=settings) as lake:
        texts = [row[0] for row in lake.sql("SELECT text FROM events").fetchall()]
    pseudonyms = {name for text in texts for name in re.findall(r"<email:\w+>", text)}
    assert (len(texts), len(pseudonyms)) == (2, 2), texts
    assert len(lookup_keys(settings, Storage.of(settings))) == 2
