"""Published topics check: those to which flows produce for subscribers exist."""

from collections.abc import Iterator
from functools import partial

from semloop.command.doctor import Finding, left, ok
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.figures import format_list
from semloop.kafka import published_topics
from semloop.settings import Settings

CHECK = "published topics"


def check(context: CheckContext) -> Iterator[Finding]:
    """Look for the topics of the setting `publish`."""
    settings = context.require_settings()
    if not settings.publish.topics:
        yield ok(CHECK, "the setting `publish` names none")
        return
    context.require_cluster()
    absent = published_topics.missing(settings)
    if absent:
        found = f"there is no topic {format_list(absent)}; the flows retry"
        yield left(CHECK, found, partial(_make, settings), "makes them")
    else:
        names = (f"{settings.publish.prefix}{t}" for t in settings.publish.topics)
        yield ok(CHECK, f"{', '.join(names)}: the flows produce to them")


def _make(settings: Settings) -> str:
    return f"made {', '.join(published_topics.ensure(settings))}"
