"""Settings check: validity, origin and consistency with the running stack."""

from collections.abc import Iterator

from semloop.command.doctor import Finding, ok, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.stack.state import Stack, running_stack
from semloop.errors import SemLoopError
from semloop.kafka.clients import address
from semloop.kafka.security import security_config
from semloop.settings import Settings, load, setting_source
from semloop.storage.location import Storage
from semloop.storage.redaction_key import check_length

CHECK = "settings"


def check(context: CheckContext) -> Iterator[Finding]:
    """Load the settings as every command does; secrets are not shown."""
    settings = load()
    stack = running_stack(settings)
    own = settings
    if stack is not None:
        # Unset settings have the values with which the stack was started.
        topic = stack.topic if setting_source("topic") == "default" else settings.topic
        own = settings.replace(topic=topic)
    context.settings = own
    yield ok(CHECK, f"lake {_lake(own)} ({setting_source('lake')})")
    if own.on_s3:
        yield ok(CHECK, f"credentials: {_credentials(Storage.of(own))}")
    yield ok(CHECK, f"broker {address(own)} ({_origin('kafka', stack)}){_login(own)}")
    yield ok(CHECK, f"topic {own.topic!r} ({_origin('topic', stack)})")
    if stack is not None:
        yield from _conflicts(own, stack)
    try:
        check_length(settings.redaction.key)
    except SemLoopError as error:
        yield warn(CHECK, error.what, error.todo)


def _lake(settings: Settings) -> str:
    endpoint = Storage.of(settings).endpoint
    return f"{settings.lake} at {endpoint}" if endpoint else settings.lake


def _credentials(storage: Storage) -> str:
    if storage.credentials is None:
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return f"{storage.credentials.source} (AWS credential chain)"


def _login(settings: Settings) -> str:
    config = security_config(settings)
    user = config.get("sasl.username")
    return f", {config['security.protocol']}{f' as {user!r}' if user else ''}"


def _origin(name: str, stack: Stack | None) -> str:
    where = setting_source(name)
    return "from the running `semloop up`" if stack and where == "default" else where


def _conflicts(settings: Settings, stack: Stack) -> Iterator[Finding]:
    """Find differences between the settings of `up` and those of this command."""
    todo = "Use the same value, or restart the stack: `semloop down`, `semloop up`."
    here = address(settings)
    if stack.kafka != here:
        found = f"`semloop up` uses broker {stack.kafka}, "
        found += f"but the current setting is {here}"
        yield warn(CHECK, found, todo)
    if stack.topic != settings.topic:
        found = f"`semloop up` uses topic {stack.topic!r}, "
        found += f"but the current setting is {settings.topic!r}"
        yield warn(CHECK, found, todo)
