"""The codes of `semloop health`: what each means, and what to do.

Programs alert on a code, so it never changes its meaning.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One kind of check.

    Attributes:
        part: `kafka`, `lake`, `flows` or `agents`.
        meaning: what is wrong when the check does not pass.
        todo: what to do, and when the check passes again.
        ready: part of `health --ready`: without it nothing can be stored or found.
        live: part of `health --live`: a restart of the flow helps.
    """

    part: str
    meaning: str
    todo: str
    ready: bool = False
    live: bool = False


CODES = {
    "kafka.broker": Code(
        "kafka",
        "No broker answers at the configured address, or another server has the port "
        "of the embedded one.",
        "`semloop up` starts one; or set `SEMLOOP_KAFKA`. Stop a program that has the "
        "port.",
        ready=True,
    ),
    "kafka.login": Code(
        "kafka",
        "The broker refuses our requests: certificate, login or permissions.",
        "Correct what the line names; see `semloop doctor`.",
        ready=True,
    ),
    "kafka.topic": Code(
        "kafka",
        "The topic does not exist, or is not the one that the local stack created.",
        "Create it as the line says; `semloop up` and `import` create it. If it is "
        "another one: `semloop down`, `semloop up`.",
        ready=True,
    ),
    "kafka.cpu": Code(
        "kafka",
        "The embedded broker used half a core (warns) or 90 % of one (fails) in the "
        "last five minutes, or it is not known how much (warns); after a start it "
        "warns at most, until it has run for that long.",
        "After a large import, wait for five minutes. If it stays so, `semloop down` "
        "and `semloop up`: its records are kept.",
    ),
    "kafka.memory": Code(
        "kafka",
        "The embedded broker uses 256 MiB of memory (warns) or 512 MiB (fails).",
        "`semloop down` and `semloop up`: its records are kept.",
    ),
    "kafka.full": Code(
        "kafka",
        "The records that the embedded broker holds fill 70 % of `broker_mb` (warns) "
        "or 95 % (fails): soon it refuses more, and they wait in the agents' spools.",
        "Start `archive` (`semloop up`), or read its log. It passes a few seconds "
        "after the records are in the lake. A topic that `archive` does not read, as "
        "after a change of `topic`, keeps its records, up to a quarter of `broker_mb`: "
        "the line names it; delete it.",
    ),
    "lake.exists": Code(
        "lake",
        "There is no lake at the configured place.",
        "`semloop up` creates one; or set `SEMLOOP_LAKE`.",
        ready=True,
    ),
    "lake.read": Code(
        "lake",
        "A table or file of the lake cannot be read.",
        "Correct what the line names; see `semloop doctor`.",
        ready=True,
    ),
    "lake.write": Code(
        "lake",
        "This user may not write to the lake's folder.",
        "Give the user of the flows write permission.",
        ready=True,
    ),
    "flow.runs": Code(
        "flows",
        "A flow of the local stack stopped, or keeps dying.",
        "Read the log that the line names; then `semloop down` and `semloop up`.",
        ready=True,
    ),
    "lake.disk": Code(
        "lake",
        "The disk of a local lake is nearly full: under 5 % or 1 GiB free warns, under "
        "100 MiB or 1,000 inodes fails.",
        "Free up space, or move the lake to another disk.",
    ),
    "flow.alive": Code(
        "flows",
        "For 30 seconds a flow has not finished an item: it does not run, hangs, or "
        "works on one record or batch since. With `--live`: for 10 minutes, or 5 times "
        "`storage_retry_s` if that is longer. A flow whose input ended, or that "
        "`down` stopped, passes. After a day without `up`, only a note. A time in the "
        "future, by the clock of another host, warns.",
        "Start it, or read its log. If it stays so, restart it: nothing is lost. It "
        "passes once the flow finishes an item.",
        ready=True,
        live=True,
    ),
    "flow.refuses": Code(
        "flows",
        "`archive` stopped, because more of the recent records would become dead "
        "letters than `dead_letters_max_ratio` allows.",
        "Do what the line says. It passes at the next commit.",
    ),
    "flow.fresh": Code(
        "flows",
        "The oldest record that cannot be queried yet waits for over 30 seconds "
        "(warns) or 5 minutes (fails), plus `commit_interval_s`. A note if that could "
        "not be determined.",
        "Start `archive`, or read its log; after a large import, wait. It passes once "
        "`archive` has caught up.",
    ),
    "flow.behind": Code(
        "flows",
        "`memory` runs, but was last level with `events` over 1 minute (warns) or 5 "
        "minutes (fails) ago. After a stop, the time counts from its start.",
        "After a large import, wait. Else add processes, or choose a faster embedder.",
    ),
    "flow.index": Code(
        "flows",
        "`maintain index` did not end for three times `index_every_s`: recall slows.",
        "Run `semloop maintain index` and read its error; without `up`, schedule it.",
    ),
    "flow.maintenance": Code(
        "flows",
        "`maintain compact`, `retain` or `vacuum` did not end for three times its "
        "interval, and for an hour at least, during which `up` ran, if it runs them: "
        "they fail, hang or are not run any more.",
        "Run it by hand and read its error; without `up`, schedule it.",
    ),
    "flow.keys": Code(
        "flows",
        "Since the first record, events had another key than their session, or an id "
        "that another partition has, too. Only a note.",
        "Set the Kafka key to `meta.session_id`, or `dedupe = lake`.",
    ),
    "agent.refused": Code(
        "agents",
        "At least 20 records and 5 % of an agent's in the last 15 minutes became dead "
        "letters. The name is empty where a record does not say it; these records are "
        "compared with those of all agents.",
        "Do what the line says about the reason; `semloop dlq show ID` shows the "
        "example. It passes once under 5 % of the last 15 minutes are refused.",
    ),
    "agent.duplicates": Code(
        "agents",
        "At least 20 records and 5 % of an agent's in the last 15 minutes repeated the "
        "id of a stored event, without the header of a repeated import. They were "
        "dropped: if they were different events, they are lost.",
        "Give each event an id of its own, and send it once. It passes once under 5 % "
        "of the last 15 minutes are repeated.",
    ),
    "agent.misrouted": Code(
        "agents",
        "At least 20 records and 5 % of an agent's in the last 15 minutes had another "
        "Kafka key than their session: sessions may lose their order.",
        "Set the key to `meta.session_id`. It passes once under 5 % of the last 15 "
        "minutes are misrouted.",
    ),
    "agent.clock": Code(
        "agents",
        "In the last 15 minutes an event of the agent was dated over 1 minute later "
        "than its Kafka timestamp (at 5 minutes such events are refused). Or over half "
        "of its records came over `delivery_max_s` after that timestamp: its clock is "
        "behind, as far as `archive` can tell, which had read everything in between.",
        "Synchronize the clock of the agent's host with NTP. It passes 15 minutes "
        "after the last such event.",
    ),
}
