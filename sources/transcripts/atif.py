"""The Agent Trajectory Interchange Format: one document with numbered steps."""

from collections.abc import Iterable
from itertools import islice

from semloop.texts.times import time_in
from sources.transcripts.atif_own import add_others, own_fields, restore, without_own
from sources.transcripts.atif_writer import HEAD
from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import SESSION_IDS, documents
from sources.transcripts.drafts import Draft
from sources.transcripts.format import Container, Format
from sources.transcripts.messages import read_message
from sources.transcripts.parts import plain, word
from sources.transcripts.trajectories import tell_calls, tell_text, tell_usage
from sources.transcripts.turns import as_text
from sources.transcripts.unread import (
    keep,
    keep_in_first,
    keep_parts,
    unread,
    unread_parts,
)

AGENT = "agent"
# Fields of a step that are read.
_READ = (
    "step_id", "source", "timestamp", "message", "reasoning_content", "tool_calls",
    "observation", "metrics", "model_name",
)  # fmt: skip
_COUNTED = ("prompt_tokens", "completion_tokens", "cached_tokens")


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if not isinstance(value, dict) or not isinstance(value.get("steps"), list):
        return None
    if str(value.get("schema_version", "")).upper().startswith("ATIF"):
        return "its schema_version is ATIF"
    steps = value["steps"]
    if steps and isinstance(steps[0], dict) and {"step_id", "source"} <= set(steps[0]):
        return "its steps have step_id and source"
    return None


def _tell(talk: Conversation, document: dict[str, object]) -> Iterable[str]:
    steps = document.get("steps")
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, dict):
            _step(talk, step)
        else:
            talk.ledger.met += 1
            talk.ledger.leave_out("step", "is no object")
    rest = unread(document, ["steps", "schema_version", "notes", *SESSION_IDS])
    if own := own_fields(document):
        rest = without_own(rest)
        if isinstance(agent := rest.get("agent"), dict):
            agent = unread(agent, ["name"])
            rest["agent"] = agent if agent != {"version": "unknown"} else None
    keep_in_first(talk, 0, unread(rest, ()), "transcript")
    add_others(talk, own)
    talk.at_unit(None)
    tell_text(talk, "system", document.get("notes"), "notes")
    return tuple(document)


def _step(talk: Conversation, step: dict[str, object]) -> None:
    source = step.get("source")
    role = "assistant" if source == "agent" else source
    first, at = len(talk.drafts), time_in(step)
    talk.at_unit(at)
    tell_text(talk, "assistant", step.get("reasoning_content"), "reasoning")
    message = step.get("message")
    if message:
        read_message(talk, {"role": role, "content": message}, at)
    calls = tell_calls(talk, step.get("tool_calls"))
    if source == "agent":
        tell_usage(talk, step, first)
    observation = step.get("observation")
    results = observation.get("results") if isinstance(observation, dict) else None
    for result in results if isinstance(results, list) else []:
        talk.ledger.met += 1
        if isinstance(result, dict):
            _result(talk, result, len(calls) == 1)
        else:
            talk.ledger.leave_out("result", "is no object")
    rest = unread(step, _READ)
    if own := own_fields(step):
        rest = without_own(rest)
        restore(list(islice(talk.drafts, first, None)), own)
    if isinstance(observation, dict):
        rest |= unread(observation, ["results"])
    if isinstance(metrics := step.get("metrics"), dict):
        more = unread(metrics, _COUNTED)
        if isinstance(inner := more.get("extra"), dict):
            more["extra"] = unread(inner, ["reasoning_tokens"])
        rest |= {"metrics": m} if (m := unread(more, ())) else {}
    keep_in_first(talk, first, rest, "step")
    if len(talk.drafts) == first:
        talk.ledger.met += 1
        talk.ledger.leave_out("step", "is empty")


def _result(talk: Conversation, result: dict[str, object], alone: bool) -> None:
    call_id = word(result, "source_call_id")
    content = plain(result.get("content"))
    content = "" if content is None else content
    if call_id is None and alone:
        waiting = [d for d in talk.drafts if d.waits]
        if waiting:
            talk.finish_now(waiting[-1], content)
            talk.ledger.kept += 1
            _keep(waiting[-1], result)
            return
    draft = talk.result(call_id, content)
    if draft is None:
        text = content if isinstance(content, str) else as_text(content)
        draft = talk.say("tool", text)
        keep(draft, {} if call_id is None else {"source_call_id": call_id})
    _keep(draft, result)


def _keep(draft: Draft, result: dict[str, object]) -> None:
    keep(draft, unread(result, ["source_call_id", "content"]))
    keep_parts(draft, unread_parts(result.get("content")))


def _head_fields(document: dict[str, object]) -> dict[str, object]:
    """Return the fields of the head: the agent has an object of its own."""
    agent = document.get("agent")
    named = {"agent": agent.get("name")} if isinstance(agent, dict) else {}
    own = own_fields(document)
    return {**document, **named, **{n: own[n] for n in HEAD if n in own}}


_read = documents(_tell, AGENT, _head_fields)
FORMAT = Format("atif", "ATIF trajectories", _recognize, _read)
