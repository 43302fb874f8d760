"""The process of a flow: how it starts, logs and ends.

An exception that passes through Bytewax becomes a Rust panic with another exit code.
Therefore the process exits where the error is raised: it prints one line with the cause
and one with the remedy, and exits with the error's own code. No events are lost: the
next start resumes at the offsets in the tables.
"""

import functools
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, ParamSpec, Protocol, TextIO, TypeVar

import prometheus_client
import pyarrow as pa
import structlog
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from flows.logging_setup import configure
from flows.probes import with_probes
from schemas.metrics import Metrics
from semloop.errors import ConfigError, PeerLost, SemLoopError, unexpected
from semloop.escaping import visible
from semloop.flow_registry import STREAMING
from semloop.masking import masked
from semloop.progress.activity import files_of, note_stop
from semloop.settings import Settings, load, process_number
from semloop.storage.local_files import close_new_files
from semloop.storage.location import Storage
from semloop.storage.writers import WriterRecord

P = ParamSpec("P")
R = TypeVar("R")
log = structlog.get_logger("flow")
# The exit code that a shell reports for Ctrl-C.
INTERRUPTED = 130
# Ctrl-C must not seem to hang where the storage does not answer.
NOTE_S = 2.0
# Lists listening sockets. Systems without it may wait a second for Bytewax to retry.
LISTENERS = Path("/proc/net/tcp")
# Long enough for a peer that starts on a busy machine.
PEERS_LISTEN_S = 10.0
_debug = False


class Guard(Protocol):
    """Wraps the functions of a dataflow and decides what an error in them does."""

    def poll(self, function: Callable[[], R]) -> Callable[[], R]:
        """Wrap the function that polls."""

    def step(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap a function of an item, or the one that opens the input."""


def run(
    dataflow: Dataflow,
    settings: Settings,
    metrics: Metrics,
    addresses: Sequence[str] = (),
    index: int = 0,
) -> None:
    """Run a flow in this process until its input ends; a topic's input never ends.

    `semloop run` calls this.

    Args:
        dataflow: the flow.
        settings: log format, metrics address, debug mode.
        metrics: the metrics to serve.
        addresses: `host:port` of each process of the flow; empty for a single process.
        index: position of this process in `addresses`.
    """
    _prepare_process(settings, metrics, _separate_logs() if addresses else sys.stderr)
    _follow_signs(metrics, dataflow.flow_id)
    log.info("started", flow=dataflow.flow_id, lake=settings.lake, process=index)
    record = _record_writer(settings, dataflow.flow_id, index)
    stopped = functools.partial(_interrupted, settings, dataflow.flow_id)
    signal.signal(signal.SIGINT, stopped)
    if addresses:
        _run_with_peers(dataflow, addresses, index)
    else:
        cli_main(dataflow)  # type: ignore[no-untyped-call]
    record.end()
    log.info("ended", flow=dataflow.flow_id, process=index)


def prepare_flow(build: Callable[[Settings, Metrics], Dataflow]) -> Dataflow:
    """Set up this process and return the flow configured by the environment.

    Every `flow()` calls this. Bytewax's own runner, and waxctl, which uses it, then
    log, serve metrics and exit as `semloop run` does. One process may have several
    workers; processes on the same host each need their own `SEMLOOP_METRICS_PORT`.

    Args:
        build: builds the flow; if it fails, the process exits with two lines.
    """
    try:
        settings, metrics = load(), Metrics()
        _prepare_process(settings, metrics, sys.stderr)
        dataflow = build(settings, metrics)
    except Exception as error:
        exit_with(error)
    _follow_signs(metrics, dataflow.flow_id)
    log.info("started", flow=dataflow.flow_id, lake=settings.lake)
    _record_writer(settings, dataflow.flow_id, process_number())
    return dataflow


def _record_writer(settings: Settings, flow: str, index: int = 0) -> WriterRecord:
    """Record who runs the flow, and log whom this process replaces."""
    record = WriterRecord(Storage.of(settings), flow, index)
    if flow in STREAMING and (other := record.start()):
        log.warning(
            f"taking {flow} over from {other.host}: if it still runs there, it ends "
            "with exit code 3; a second stack needs another SEMLOOP_LAKE",
            flow=flow,
            host=other.host,
            pid=other.pid,
            started_at=other.started_at,
        )
    return record


def _interrupted(settings: Settings, flow: str, *_: object) -> NoReturn:
    """Note that the flow was stopped on purpose, and end this process."""
    # Another thread: this one may hold a lock of the storage.
    thread = threading.Thread(target=_note_stop, args=(settings, flow), daemon=True)
    thread.start()
    thread.join(NOTE_S)
    os._exit(INTERRUPTED)


def _note_stop(settings: Settings, flow: str) -> None:
    with suppress(SemLoopError, OSError):  # `health` then reports it as silent
        note_stop(Storage.of(settings), files_of(flow, settings.topic))


def _prepare_process(settings: Settings, metrics: Metrics, logs: TextIO) -> None:
    """Set up logs, retry hooks, signals, metrics and memory; call once per process."""
    global _debug  # noqa: PLW0603 - one flow per process; Bytewax passes steps only items
    _debug = settings.debug
    configure(settings, logs)
    close_new_files(settings)
    # SIGTERM keeps its default: the process ends immediately, and the next start reads
    # uncommitted records again. A handler that raises would hang a cluster.
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    if settings.metrics.port:
        _serve_metrics(settings, metrics)
    # Events contain no cycles: traversing millions of them costs 5 % and frees nothing.
    # Rare collections of generation 2 suffice for the garbage of other code.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    gc.enable()
    # Arrow's default pool returns pages to the system that the next poll needs again.
    pa.set_memory_pool(pa.system_memory_pool())


def exit_on_error(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function: an error in it ends the process with the error's exit code."""

    @functools.wraps(function)
    def step(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except StopIteration:  # how Bytewax signals the end of input
            raise
        except Exception as error:
            exit_with(error)

    return step


class ExitOnError:
    """An error ends the process; for a process that runs only this flow."""

    def poll(self, function: Callable[[], R]) -> Callable[[], R]:
        """Wrap with `exit_on_error`."""
        return exit_on_error(function)

    def step(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap with `exit_on_error`."""
        return exit_on_error(function)


EXIT_ON_ERROR = ExitOnError()


def exit_with(error: Exception) -> NoReturn:
    """Report an error and exit the process without passing through Bytewax."""
    if _debug:
        trace = masked("".join(traceback.format_exception(error)))
        print(visible(trace), file=sys.stderr)
    if isinstance(error, SemLoopError):
        print(error, file=sys.stderr, flush=True)
        os._exit(error.exit_code)
    print(
        f"{unexpected(error)}; no events were lost.\n"
        "Run again with SEMLOOP_DEBUG=1 for the traceback, and report it as a bug.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _run_with_peers(dataflow: Dataflow, addresses: Sequence[str], index: int) -> None:
    _wait_for_listeners(addresses[:index])
    try:
        cli_main(dataflow, process_id=index, addresses=list(addresses))  # type: ignore[no-untyped-call]
    except BaseException:
        # Guarded steps exit the process instead of raising, so this is Bytewax's panic
        # about a lost peer.
        exit_with(
            PeerLost(
                "Another process of this flow ended.",
                "Start all processes of the flow again.",
            )
        )


def _wait_for_listeners(addresses: Sequence[str]) -> None:
    """Wait until the peers that Bytewax connects to listen: it retries once a second.

    Read Linux's socket table, because a peer would treat a test connection as a peer.
    """
    expected = {int(address.rpartition(":")[2]) for address in addresses}
    deadline = time.monotonic() + PEERS_LISTEN_S
    while LISTENERS.exists() and time.monotonic() < deadline:
        rows = [row.split() for row in LISTENERS.read_text().splitlines()[1:]]
        ports = {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}
        if expected <= ports:
            return
        time.sleep(0.01)


def _separate_logs() -> TextIO:
    """Return a stream for logs on standard output; send other output to standard error.

    The parent process can then tell logs from what Bytewax prints about peers.
    """
    logs = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return logs


def _follow_signs(metrics: Metrics, flow: str) -> None:
    metrics.follow("semloop_silent_seconds", metrics.signs.silence_s, flow=flow)


def _serve_metrics(settings: Settings, metrics: Metrics) -> None:
    try:
        server, _ = prometheus_client.start_http_server(
            settings.metrics.port, settings.metrics.host, metrics.registry
        )
    except OSError as error:
        msg = f"Metrics port {settings.metrics.port} is unavailable: {error.strerror}."
        raise ConfigError(msg, "Set SEMLOOP_METRICS_PORT to a free port.") from None
    app = prometheus_client.make_wsgi_app(metrics.registry)
    server.set_app(with_probes(app, metrics.signs, settings))
