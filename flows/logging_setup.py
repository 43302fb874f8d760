"""Logs of a flow: structured, never with content of events."""

import logging
from typing import TextIO

import structlog
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from semloop.errors import BrokerUnavailable, SemLoopError
from semloop.settings import Settings

# Of what is tried again the first tries are over within some two seconds and say
# nothing new; then pauses are two seconds long, and every fifth is told.
QUIET_TRIES, TOLD_EVERY = 7, 5

log = structlog.get_logger("retry")


def configure(settings: Settings, stream: TextIO) -> None:
    """Set up structlog once, at the start of the process; `stream`: where to."""
    on_terminal = stream.isatty()
    console = settings.logs.format == "console" or (
        settings.logs.format == "auto" and on_terminal
    )
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=on_terminal)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.logs.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    # The library's own hooks would log the text of whatever error there is.
    set_on_retry_hooks([_tell_retry])


def _tell_retry(details: RetryDetails) -> None:
    tries = details.retry_num
    if tries >= QUIET_TRIES and (tries - QUIET_TRIES) % TOLD_EVERY == 0:
        error = details.caused_by
        if isinstance(error, BrokerUnavailable):
            return  # BrokerWatch logs the beginning and the end of an outage.
        reason = type(error).__name__
        if isinstance(error, SemLoopError):
            reason = error.what
        waited_s = round(details.waited_so_far, 1)
        log.warning("tried again", reason=reason, tries=tries, waited_s=waited_s)
