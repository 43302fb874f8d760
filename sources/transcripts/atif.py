"""The Agent Trajectory Interchange Format: one document with numbered steps."""

from collections.abc import Iterable

from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import documents
from sources.transcripts.format import Container, Format
from sources.transcripts.messages import read_message
from sources.transcripts.parts import plain, word
from sources.transcripts.times import time_in
from sources.transcripts.trajectories import tell_calls, tell_text, tell_usage
from sources.transcripts.turns import as_text

AGENT = "agent"
_FIELDS = ("schema_version", "steps", "agent", "final_metrics", "notes", "extra")


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
    notes = document.get("notes")
    talk.at_unit(None)
    tell_text(talk, "system", notes, "notes")
    return _FIELDS


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
            return
    if talk.result(call_id, content) is None:
        talk.say("tool", content if isinstance(content, str) else as_text(content))


_read = documents(_tell, AGENT)
FORMAT = Format("atif", "ATIF trajectories", _recognize, _read)
