"""Host programs many times, with random timing, kills and brokers."""

import random
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from semloop.errors import TopicMissing
from semloop.settings import Settings
from tests.sdk.hosts.bad_brokers import bad_broker
from tests.sdk.hosts.host_run import run_host
from tests.sdk.hosts.programs import PROGRAMS, Program
from tests.sdk.sent_events import sent_ids
from tests.support.services import free_port

pytestmark = [pytest.mark.process, pytest.mark.storm]

RUNS = 200
LATER = Program("later")
BROKERS = ("away", "away", "good", "good", "silent", "closing", "garbage")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("run", range(RUNS))
def test_a_host_at_random(settings: Settings, tmp_path: Path, run: int) -> None:
    seed = random.randrange(2**31)
    rng = random.Random(seed)
    program, how = rng.choice(PROGRAMS), rng.choice(BROKERS)
    # A killed process loses events where the disk, or the bound, refuses them.
    killed = rng.random() < 0.25 and program.name != "disks"
    kill_after_s = rng.random() * 2 if killed else None
    print(f"{program} with a broker that is {how}, killed after {kill_after_s}")
    good = settings.replace(
        spool=str(tmp_path / "spool"), spool_mb=64 if killed else 4, agent_queue_mb=1
    )
    address = str(good.kafka)
    if how == "away":
        address = f"127.0.0.1:{free_port()}"
    with nullcontext(address) if how in {"good", "away"} else bad_broker(how) as used:
        ended = run_host(
            program, tmp_path, good.replace(kafka=used), seed=seed,
            kill_after_s=kill_after_s,
        )  # fmt: skip
    if kill_after_s is None:
        ended.assert_ended_well()
    if how != "good":
        ended.assert_kept()
        return
    run_host(LATER, tmp_path, good).assert_ended_well()
    sent: list[str] = []
    with suppress(TopicMissing):  # killed before there was an event
        sent = sent_ids(good)
    ended.assert_kept(sent)
