"""Trajectories of SWE-agent and mini-SWE-agent: thoughts, commands, observations."""

from collections.abc import Iterable

from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import documents
from sources.transcripts.format import Container, Format
from sources.transcripts.messages import read_messages
from sources.transcripts.parts import plain
from sources.transcripts.trajectories import tell_text

AGENT = "swe-agent"
_FIELDS = (
    "trajectory", "history", "messages", "info", "environment", "replay_config",
    "trajectory_format",
)  # fmt: skip
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
        _asked(talk, history if isinstance(history, list) else [])
        for step in steps:
            _step(talk, step)
    elif isinstance(messages, list):
        read_messages(talk, messages)
    info = document.get("info")
    talk.at_unit(None)
    if isinstance(info, dict):
        tell_text(talk, "system", info.get("exit_status"), "exit status")
        tell_text(talk, "assistant", info.get("submission"), "submission")
    return _FIELDS


def _asked(talk: Conversation, history: list[object]) -> None:
    """Tell what stood before the first step; the steps tell the rest."""
    asked = []
    for message in history:
        if isinstance(message, dict) and message.get("role") == "assistant":
            break
        asked.append(message)
    read_messages(talk, asked)
    left = len(history) - len(asked)
    if left:
        talk.ledger.met += left
        talk.ledger.kept += left


def _step(talk: Conversation, step: object) -> None:
    talk.at_unit(None)
    if not isinstance(step, dict):
        talk.ledger.met += 1
        talk.ledger.leave_out("step", "is no object")
        return
    thought, response = step.get("thought"), step.get("response")
    tell_text(talk, "assistant", thought or response, None)
    if thought and response and response != thought:
        talk.ledger.met += 1
        talk.ledger.kept += 1
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
