"""The settings: can they be read, where do they come from, do they fit together?"""

from collections.abc import Iterator

from semloop.command.doctor import Finding, ok, warn
from semloop.command.doctor.context import Known
from semloop.command.stack.state import Stack, running_stack
from semloop.errors import SemLoopError
from semloop.kafka.clients import address
from semloop.kafka.security import security_config
from semloop.settings import Settings, load, origin
from semloop.storage.location import Storage, redaction_key

CHECK = "settings"


def check(known: Known) -> Iterator[Finding]:
    """Read the settings, as every command does; nothing secret is shown."""
    settings = load()
    stack = running_stack(settings)
    own = settings
    if stack is not None:
        # What is not set is as the stack was started.
        topic = stack.topic if origin("topic") == "default" else settings.topic
        own = settings.replace(topic=topic)
    known.settings = own
    yield ok(CHECK, f"lake {_lake(own)} ({origin('lake')})")
    if own.on_s3:
        yield ok(CHECK, f"credentials: {_credentials(Storage.of(own))}")
    yield ok(CHECK, f"broker {address(own)} ({_origin('kafka', stack)}){_login(own)}")
    yield ok(CHECK, f"topic {own.topic!r} ({_origin('topic', stack)})")
    if stack is not None:
        yield from _rivals(own, stack)
    # A local lake makes its key itself, but only once it is needed.
    if settings.on_s3 or settings.redaction.key is not None:
        try:
            redaction_key(settings, Storage.of(settings))
        except SemLoopError as error:
            yield warn(CHECK, error.what, error.todo)


def _lake(settings: Settings) -> str:
    endpoint = Storage.of(settings).endpoint
    return f"{settings.lake} at {endpoint}" if endpoint else settings.lake


def _credentials(storage: Storage) -> str:
    if storage.credentials is None:
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return f"{storage.credentials.source}, by the AWS chain"


def _login(settings: Settings) -> str:
    config = security_config(settings)
    user = config.get("sasl.username")
    return f", {config['security.protocol']}{f' as {user!r}' if user else ''}"


def _origin(name: str, stack: Stack | None) -> str:
    where = origin(name)
    return "of the running `semloop up`" if stack and where == "default" else where


def _rivals(settings: Settings, stack: Stack) -> Iterator[Finding]:
    """`up` was started with other settings than those that commands have now."""
    todo = "Make them the same, or `semloop down` and `semloop up` with the new ones."
    here = address(settings)
    if stack.kafka != here:
        found = (
            f"`semloop up` runs with the broker {stack.kafka}, but here {here} is set"
        )
        yield warn(CHECK, found, todo)
    if stack.topic != settings.topic:
        found = f"`semloop up` runs with topic {stack.topic!r}, not {settings.topic!r}"
        yield warn(CHECK, found, todo)
