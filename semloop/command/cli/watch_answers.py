"""Which default places the user agreed to follow; the answers are remembered.

They are in the home folder, not in the lake: a lake may come with a project of someone
else, which must not decide what is read. An answer holds for one folder of a tool, and
for one lake and broker, since it matters where the sessions go.
"""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from semloop.agent.local_stack import nearest_lake
from semloop.command.terminal.figures import format_bytes, format_count
from semloop.command.terminal.printing import say
from semloop.errors import ConfigError
from semloop.settings import Settings

if TYPE_CHECKING:
    from sources.following.places import Place

ANSWERS = "~/.local/state/semloop/watch.json"

# Target -> folder of a tool -> whether to follow its sessions.
Answers = dict[str, dict[str, bool]]
_decode = msgspec.json.Decoder(Answers).decode


def agreed_places(settings: Settings, *, yes: bool) -> "list[Place]":
    """Return the default places to follow; ask about those that are new.

    Args:
        settings: where the events go.
        yes: follow all, also those that were declined; ask nothing.

    Raises:
        ConfigError: there is nothing to follow, or no terminal to ask at.
    """
    from sources.following.places import default_places

    places = default_places(os.environ, Path.home())
    target, stored = _target(settings), _load()
    answers = stored.setdefault(target, {})
    here = [place for place in places if place.folder.is_dir()]
    new = [place for place in here if _key(place) not in answers or yes]
    if new:
        _show(new, target)
        agreed = yes or _asked()
        answers.update({_key(place): agreed for place in new})
        _save(stored)
    followed = [place for place in places if answers.get(_key(place))]
    if not followed:
        raise _nothing(here, places)
    return followed


def _key(place: "Place") -> str:
    """Return the folder of a tool: an answer holds for one of them."""
    return str(place.folder.parent.absolute())


def _target(settings: Settings) -> str:
    if settings.kafka:
        return f"the topic {settings.topic!r} at {settings.kafka}"
    lake = settings.lake if settings.on_s3 else nearest_lake(settings)
    return f"the lake {lake}"


def _show(places: "list[Place]", target: str) -> None:
    """Print what was found: names and sizes, read from the folders only."""
    from sources.following.scan import Scan

    say("Found session files of coding agents:")
    for place in places:
        sizes = [file.info.st_size for file in Scan([place]).files().values()]
        files = format_count(len(sizes), "file")
        size = format_bytes(sum(sizes))
        say(f"  {place.title}: {place.folder} ({files}, {size})")
    say(f"They may contain private texts. All of them would be sent to {target}.")


def _asked() -> bool:
    if not sys.stdin.isatty():
        msg = "`semloop watch` asks before it reads these files for the first time."
        todo = "Run it on a terminal, or with --yes; the answer is remembered."
        raise ConfigError(msg, todo)
    return typer.confirm("Follow them, now and from now on?")


def _nothing(here: "list[Place]", places: "list[Place]") -> ConfigError:
    if here:
        tools = ", ".join(dict.fromkeys(place.title for place in here))
        msg = f"You answered not to follow the sessions of {tools}."
        return ConfigError(
            msg, "Run `semloop watch --yes` to follow them, or name folders."
        )
    searched = Counter(str(place.folder) for place in places)
    msg = f"There are no session files in {', '.join(searched)}."
    return ConfigError(msg, "Name a folder with session files: semloop watch FOLDER")


def _load() -> Answers:
    try:
        return _decode(Path(os.path.expanduser(ANSWERS)).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}


def _save(answers: Answers) -> None:
    """Remember the answers.

    Raises:
        ConfigError: the file cannot be written.
    """
    from semloop.storage.local_files import replace_file

    path = Path(os.path.expanduser(ANSWERS))
    try:
        replace_file(path, msgspec.json.encode(answers), 0o600)
    except OSError as error:
        msg = f"The answer cannot be stored in {path}: {error.strerror}."
        raise ConfigError(msg, "Make the folder writable, or name folders.") from None
