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
        "No broker answers at the configured address.",
        "`semloop up` starts one; or set `SEMLOOP_KAFKA`.",
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
        "The topic does not exist.",
        "Create it as the line says; `semloop up` and `import` create it.",
        ready=True,
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
    "flow.keys": Code(
        "flows",
        "Since the first record, events had another key than their session, or an id "
        "that another partition has, too. Only a note.",
        "Set the Kafka key to `meta.session_id`, or `dedupe = lake`.",
    ),
    "agent.refused": Code(
        "agents",
        "At least 20 records and 5 % of an agent's in the last 15 minutes became dead "
        "letters. The name is empty where a record does not say it.",
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
}
