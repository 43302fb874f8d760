"""Decides which events to send or remember when only a share of them is configured."""

from collections.abc import Mapping

# Never sampled out: these are useful even without the rest of their session.
ALWAYS = frozenset({"error", "completion", "feedback"})

# A call without its start is complete, but a start without its call never ends.
SAMPLED_AS = {"tool_start": "tool_call"}


def is_kept(
    kind: str, agent: str, session_id: str, sample: Mapping[str, float], *, failed: bool
) -> bool:
    """Return True if an event is kept; a session keeps all or no events of a type.

    Args:
        kind: type of the event.
        agent: name of the agent.
        session_id: its hash decides, so every process decides alike.
        sample: shares by `agent/type`, `*/type`, `agent` or `*`; the first match wins.
        failed: True if the event reports an error.
    """
    if not sample or kind in ALWAYS or failed:
        return True
    kind = SAMPLED_AS.get(kind, kind)
    names = (f"{agent}/{kind}", f"*/{kind}", agent, "*")
    share = next((sample[name] for name in names if name in sample), 1.0)
    import hashlib

    digest = hashlib.blake2b(session_id.encode("utf-8", "replace"), digest_size=8)
    return int.from_bytes(digest.digest(), "big") < share * 2**64
