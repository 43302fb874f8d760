"""The file by which the local stack of a lake says where its broker listens.

`semloop up` writes it; agents and commands of the same folder read it.
"""

import json

from semloop.settings import Settings

# Not a table: pid files, logs and the redaction key of a local lake.
LOCAL_FOLDER = "_local"
STACK_FILE = "stack.json"


def broker_address(settings: Settings) -> str | None:
    """Where the broker of the local stack listens; None where there is no stack."""
    if settings.on_s3:
        return None
    try:
        with open(f"{settings.lake}/{LOCAL_FOLDER}/{STACK_FILE}", "rb") as file:
            stack = json.load(file)
    except (OSError, ValueError):
        return None
    kafka = stack.get("kafka") if isinstance(stack, dict) else None
    return kafka if isinstance(kafka, str) else None
