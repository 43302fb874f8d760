"""Trajectories of SWE-agent and mini-SWE-agent: thoughts, commands, observations."""

from collections.abc import Iterable

from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import documents
from sources.transcripts.format import Container, Format
from sources.transcripts.messages import read_messages
from sources.transcripts.parts import plain
from sources.transcripts.trajectories import tell_text
from sources.transcripts.turns import as_text
from sources.transcripts.unread import keep_in_first, leave_out, unread

AGENT = "swe-agent"
_HISTORY = ("role", "content", "thought", "action", "agent", "message_type")
_STEP = ("action", "observation", "thought", "response", "execution_time")
_TOOL = "bash"


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if not isinstance(value, dict):
        return None
    steps = value.get("trajectory")
    first = steps[0] if isinstance(steps, list) and steps else None
    if isinstance(first, dict) and {"action", "observation"} <= set(first):
        return "its trajectory has actions and observations"
    if "trajectory_format" in value and isinstance(value.get("messages"), list):
        return "it has a trajectory_format and messages"
    return None


def _tell(talk: Conversation, document: dict[str, object]) -> Iterable[str]:
    steps = document.get("trajectory")
    messages = document.get("messages")
    if isinstance(steps, list):
        history = document.get("history")
        rest = _asked(talk, history if isinstance(history, list) else [])
        known: list[str] = []
        for step in steps:
            _step(talk, step, known)
        _answered(talk, rest, known)
    elif isinstance(messages, list):
        read_messages(talk, messages)
    info = document.get("info")
    talk.at_unit(None)
    if isinstance(info, dict):
        tell_text(talk, "system", info.get("exit_status"), "exit status")
        tell_text(talk, "assistant", info.get("submission"), "submission")
        rest_of_info = unread(info, ["exit_status", "submission"])
        leave_out(talk.ledger, rest_of_info, "transcript's info")
    if not isinstance(steps, list) or not isinstance(document.get("history"), list):
        return ("trajectory" if isinstance(steps, list) else "messages", "info")
    return ("trajectory", "history", "info")


def _asked(talk: Conversation, history: list[object]) -> list[object]:
    """Tell what stood before the first step; return the rest, which the steps tell."""
    asked = []
    for message in history:
        if isinstance(message, dict) and message.get("role") == "assistant":
            break
        asked.append(message)
    read_messages(talk, asked)
    return history[len(asked) :]


def _answered(talk: Conversation, messages: list[object], known: list[str]) -> None:
    """Count messages that the steps repeat: each holds a text of the next steps."""
    at = 0
    for message in messages:
        talk.ledger.met += 1
        content = message.get("content") if isinstance(message, dict) else message
        text = content if isinstance(content, str) else as_text(plain(content))
        if content in (None, "", []):
            talk.ledger.leave_out("message of the history", "is empty")
            continue
        found = next((n for n in range(at, len(known)) if known[n] in text), None)
        if found is None:
            found = next((n for n in range(at) if known[n] in text), None)
        if found is None:
            reason = "`content` of a message of the history, in no step"
            talk.ledger.leave_out("field", reason)
            continue
        at = max(at, found)
        talk.ledger.kept += 1
        if isinstance(message, dict):
            rest = unread(message, _HISTORY)
            for name in ("thought", "action"):
                value = message.get(name)
                if isinstance(value, str) and value.strip() not in ("", *known):
                    rest[name] = value
            leave_out(talk.ledger, rest, "message of the history")


def _step(talk: Conversation, step: object, known: list[str]) -> None:
    talk.at_unit(None)
    if not isinstance(step, dict):
        talk.ledger.met += 1
        talk.ledger.leave_out("step", "is no object")
        return
    thought, response = step.get("thought"), step.get("response")
    action, observation = step.get("action"), step.get("observation")
    texts = (thought, response, action, observation)
    known += [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    first = len(talk.drafts)
    _act(talk, step)
    rest = unread(step, _STEP)
    if thought and response and response != thought:
        talk.ledger.met += 1
        talk.ledger.kept += 1
        if not _says_only(response, thought, action):
            rest["response"] = response
    keep_in_first(talk, first, rest, "step")


def _says_only(response: object, *known: object) -> bool:
    """Whether a text is made of known texts, and of signs between them."""
    left = response if isinstance(response, str) else "?"
    for text in known:
        if isinstance(text, str) and text.strip():
            left = left.replace(text.strip(), "", 1)
    return not any(character.isalnum() for character in left)


def _act(talk: Conversation, step: dict[str, object]) -> None:
    thought, response = step.get("thought"), step.get("response")
    tell_text(talk, "assistant", thought or response, None)
    action, observation = step.get("action"), step.get("observation")
    if not action:
        tell_text(talk, "tool", observation, None)
        return
    talk.ledger.met += 1
    command = action if isinstance(action, dict) else {"command": action}
    draft = talk.call(_TOOL, command, None)
    if observation is not None:
        talk.ledger.met += 1
        talk.ledger.kept += 1
        talk.finish_now(draft, plain(observation))
    seconds = step.get("execution_time")
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
        draft.payload.duration_ms = seconds * 1000  # type: ignore[union-attr]


FORMAT = Format(
    "swe-agent", "trajectories of SWE-agent", _recognize, documents(_tell, AGENT)
)
