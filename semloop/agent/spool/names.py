"""Names of the spool's files, which stand for a broker and a topic."""

import hashlib
import os
from pathlib import Path

from semloop.agent.local_stack import nearest_lake
from semloop.settings import Settings

OFF = "off"
# A file name has at most 255 characters: a long list of brokers is cut, with a hash.
NAME_CHARS_MAX, NAME_CHARS_KEPT = 150, 60


def spool_folder(settings: Settings) -> Path | None:
    """Return the folder of the spool; None if it is off."""
    spool = settings.agent.spool
    # Unlike `Path.expanduser`, this never raises.
    return None if spool == OFF else Path(os.path.expanduser(spool))


def spool_name(settings: Settings) -> str:
    """Return the name of the files for a broker and topic."""
    # A broker that is set needs no search for the stack of a folder.
    lake = settings.lake if settings.kafka else str(nearest_lake(settings))
    return _name_of(lake, settings)


def spool_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of the files to send there.

    While there was no stack, processes named files after their folder's own lake.
    """
    return tuple({spool_name(settings): None, own_spool_name(settings): None})


def own_spool_name(settings: Settings) -> str:
    """Return the name of the files for the lake of the settings."""
    return _name_of(settings.lake, settings)


def _name_of(lake: str, settings: Settings) -> str:
    target = settings.kafka
    if target is None:
        # The port of the local stack may change, its lake does not.
        target = hashlib.blake2b(lake.encode(), digest_size=6).hexdigest()
    name = f"{target}-{settings.topic}"
    if len(name) <= NAME_CHARS_MAX:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
    return f"{name[:NAME_CHARS_KEPT]}-{digest}"
