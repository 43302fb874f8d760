"""The roles of messages, by the words of all tools."""

from typing import Literal

Role = Literal["user", "assistant", "system", "tool"]

_ROLES: dict[str, Role] = {
    "user": "user", "human": "user", "humanmessage": "user",
    "humanmessagechunk": "user", "customer": "user",
    "assistant": "assistant", "ai": "assistant", "aimessage": "assistant",
    "aimessagechunk": "assistant", "model": "assistant", "gpt": "assistant",
    "chatgpt": "assistant", "bot": "assistant", "agent": "assistant",
    "bing": "assistant", "bard": "assistant", "claude": "assistant",
    "system": "system", "systemmessage": "system", "developer": "system",
    "systemmessagechunk": "system", "critic": "system", "environment": "system",
    "tool": "tool", "function": "tool", "toolmessage": "tool", "ipython": "tool",
    "functionmessage": "tool", "observation": "tool", "toolmessagechunk": "tool",
    "tool_result": "tool", "tool_response": "tool", "toolresult": "tool",
    "data": "tool",
}  # fmt: skip


def is_role(name: object) -> bool:
    """Whether a word is known to be a role."""
    return isinstance(name, str) and (name in _ROLES or name.lower() in _ROLES)


def role_of(name: object) -> tuple[Role, bool]:
    """Return the role, and whether it is another word for it.

    A speaker of unknown role is not the agent, so it is taken for a user.
    """
    if not isinstance(name, str):
        return "user", True
    role = _ROLES.get(name) or _ROLES.get(name.lower(), "user")
    return role, role != name
