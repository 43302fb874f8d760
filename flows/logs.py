"""Logs of a flow: structured, never with content of events."""

import logging
from typing import TextIO

import structlog

from semloop.settings import Settings


def configure(settings: Settings, stream: TextIO) -> None:
    """Set up structlog once, at the start of the process; `stream`: where to."""
    on_terminal = stream.isatty()
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
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
