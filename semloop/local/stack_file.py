"""Address of the broker of `semloop up`, from the stack file in the lake."""

from pathlib import Path

import msgspec

from semloop.local.identity import LakeIdentity, is_of
from semloop.local.lock import is_held
from semloop.local.marks import has_mark
from semloop.settings import LOCAL_FOLDER, Settings

STACK_FILE = "stack.json"


class LocalStack(msgspec.Struct, frozen=True):
    """What the library reads of `stack.json`.

    `topic_id`: None until the topic exists.
    """

    kafka: str
    topic: str
    lake: LakeIdentity
    topic_id: str | None = None
    embedded: bool = False
    broker_pid: int | None = None


# Prepared while importing: msgspec crashes if a signal handler interrupts that.
_stack_of = msgspec.json.Decoder(LocalStack).decode


def running_stack_in(local: Path, content: bytes) -> LocalStack | None:
    """Return the stack of a lake; None if it is another lake's, or does not run.

    Args:
        local: the folder `_local` of the lake.
        content: of its `stack.json`.
    """
    try:
        stack = _stack_of(content)
    except msgspec.MsgspecError:
        return None
    return stack if is_of(stack.lake, local) and _runs(stack, local) else None


def broker_address(settings: Settings) -> str | None:
    """Return the address of the local stack's broker; None without a running stack."""
    if settings.on_s3:
        return None
    local = Path(settings.lake, LOCAL_FOLDER)
    try:
        content = (local / STACK_FILE).read_bytes()
    except OSError:
        return None
    stack = running_stack_in(local, content)
    return stack.kafka if stack else None


def _runs(stack: LocalStack, local: Path) -> bool:
    if not stack.embedded or is_held(local):
        return True
    # The supervisor died. Another program may have got the port of its broker.
    pid = stack.broker_pid
    return pid is not None and has_mark(pid, stack.lake.id) is not False
