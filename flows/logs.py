"""Logs of a flow: structured, to stderr, never with content of events."""

import logging
import sys

import structlog

from semloop.settings import Settings


def configure(settings: Settings) -> None:
    """Set up structlog once, at the start of the process."""
    on_terminal = sys.stderr.isatty()
    console = settings.log_format == "console" or (
        settings.log_format == "auto" and on_terminal
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
            logging.getLevelNamesMapping()[settings.log_level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
