"""Address of the broker of `semloop up`, from the stack file in the lake."""

from semloop.settings import LOCAL_FOLDER, Settings

STACK_FILE = "stack.json"


def broker_address(settings: Settings) -> str | None:
    """Return the address of the local stack's broker; None without a stack."""
    import json

    if settings.on_s3:
        return None
    try:
        with open(f"{settings.lake}/{LOCAL_FOLDER}/{STACK_FILE}", "rb") as file:
            stack = json.load(file)
    except (OSError, ValueError):
        return None
    kafka = stack.get("kafka") if isinstance(stack, dict) else None
    return kafka if isinstance(kafka, str) else None
