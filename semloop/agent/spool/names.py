"""Names of the spool's files, which stand for a broker and a topic."""

import hashlib
import os
from pathlib import Path

from semloop.agent.local_stack import nearest_lake
from semloop.settings import Settings

OFF = "off"


def spool_folder(settings: Settings) -> Path | None:
    """Return the folder of the spool; None if it is off."""
    spool = settings.agent.spool
    # Unlike `Path.expanduser`, this never raises.
    return None if spool == OFF else Path(os.path.expanduser(spool))


def spool_name(settings: Settings) -> str:
    """Return the name of the files for a broker and topic."""
    return _name_of(str(nearest_lake(settings)), settings)


def spool_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of the files to send there.

    While there was no stack, processes named files after their folder's own lake.
    """
    return tuple({spool_name(settings): None, _name_of(settings.lake, settings): None})


def _name_of(lake: str, settings: Settings) -> str:
    target = settings.kafka
    if target is None:
        # The port of the local stack may change, its lake does not.
        target = hashlib.blake2b(lake.encode(), digest_size=6).hexdigest()
    return f"{target}-{settings.topic}"
