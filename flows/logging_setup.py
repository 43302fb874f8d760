"""Structured logs of a flow; they never contain event content."""

import logging
from typing import TextIO

import structlog
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from semloop.errors import BrokerUnavailable, SemLoopError
from semloop.escaping import visible
from semloop.settings import Settings

# The first retries finish within two seconds and are not logged; later ones are two
# seconds apart and every fifth is logged.
FIRST_LOGGED_RETRY, LOGGED_EVERY = 7, 5

log = structlog.get_logger("retry")


def configure(settings: Settings, stream: TextIO) -> None:
    """Configure structlog to write to `stream`; call once, when the process starts."""
    on_terminal = stream.isatty()
    console = settings.logs.format == "console" or (
        settings.logs.format == "auto" and on_terminal
    )
    # JSON has escapes of its own.
    renderers: list[structlog.typing.Processor] = (
        [_escape, structlog.dev.ConsoleRenderer(colors=on_terminal)]
        if console
        else [structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.logs.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    # stamina's default hooks log the error text, which may contain event content.
    set_on_retry_hooks([_log_retry])


def _escape(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Escape characters in values that would control a terminal."""
    return {
        name: visible(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _log_retry(details: RetryDetails) -> None:
    tries = details.retry_num
    past_first = tries - FIRST_LOGGED_RETRY
    if past_first >= 0 and past_first % LOGGED_EVERY == 0:
        error = details.caused_by
        if isinstance(error, BrokerUnavailable):
            return  # BrokerWatch logs the start and the end of an outage.
        reason = type(error).__name__
        if isinstance(error, SemLoopError):
            reason = error.what
        waited_s = round(details.waited_so_far, 1)
        log.warning("retrying", reason=reason, tries=tries, waited_s=waited_s)
