"""Which events are sent or remembered, where only a share of them is wanted."""

import hashlib
from collections.abc import Mapping

# Sampled by session; an error without its session is still worth having.
ALWAYS = frozenset({"error", "completion", "feedback"})


def is_kept(
    kind: str, agent: str, session_id: str, sample: Mapping[str, float], *, failed: bool
) -> bool:
    """Whether an event is sent: a session's are, or are not, all of one kind.

    Args:
        kind: type of the event.
        agent: name of the agent.
        session_id: what decides; the same in every process.
        sample: shares by `agent/type`, `*/type`, `agent` or `*`, the first that fits.
        failed: whether it tells of an error.
    """
    if not sample or kind in ALWAYS or failed:
        return True
    names = (f"{agent}/{kind}", f"*/{kind}", agent, "*")
    share = next((sample[name] for name in names if name in sample), 1.0)
    digest = hashlib.blake2b(session_id.encode("utf-8", "replace"), digest_size=8)
    return int.from_bytes(digest.digest(), "big") < share * 2**64
