"""The process of a flow: how it starts, logs and ends.

An exception that passes through Bytewax becomes a Rust panic with another exit code,
so the process ends where the error arises: one line what, one line what to do, the
error's own exit code. Nothing is lost by that: the tables say where to go on.
"""

import functools
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, ParamSpec, TextIO, TypeVar

import prometheus_client
import pyarrow as pa
import structlog
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from flows.logging_setup import configure
from schemas.metrics import Metrics
from semloop.errors import ConfigError, PeerLost, SemLoopError, unexpected
from semloop.settings import Settings, load

P = ParamSpec("P")
R = TypeVar("R")
log = structlog.get_logger("flow")
# As a shell reports Ctrl-C.
INTERRUPTED = 130
# Sockets that listen; other systems have no such file and lose a second at times.
LISTENERS = Path("/proc/net/tcp")
# A peer that starts on a busy machine.
PEERS_LISTEN_S = 10.0
_debug = False


def run(
    dataflow: Dataflow,
    settings: Settings,
    metrics: Metrics,
    addresses: Sequence[str] = (),
    index: int = 0,
) -> None:
    """Run a flow in this process until its input ends, which a topic's never does.

    This is what `semloop run` calls.

    Args:
        dataflow: the flow.
        settings: how it logs, where it serves its metrics.
        metrics: what it serves.
        addresses: `host:port` for each process of the flow; none if it is the only one.
        index: which of them this process is.
    """
    _prepare(settings, metrics, _logs_apart() if addresses else sys.stderr)
    log.info("started", flow=dataflow.flow_id, lake=settings.lake, process=index)
    if addresses:
        _run_with_peers(dataflow, addresses, index)
    else:
        cli_main(dataflow)  # type: ignore[no-untyped-call]
    log.info("ended", flow=dataflow.flow_id, process=index)


def started(build: Callable[[Settings, Metrics], Dataflow]) -> Dataflow:
    """The flow as the environment configures it, in a process that is ready for it.

    Every `flow()` returns this, so that Bytewax's own runner, and waxctl, which uses
    it, log, serve metrics and end as `semloop run` does. Several workers in one process
    are fine; processes that share a host need a `SEMLOOP_METRICS_PORT` each.

    Args:
        build: makes the flow; an error of it ends the process by two lines.
    """
    try:
        settings, metrics = load(), Metrics()
        _prepare(settings, metrics, sys.stderr)
        dataflow = build(settings, metrics)
    except Exception as error:
        end(error)
    log.info("started", flow=dataflow.flow_id, lake=settings.lake)
    return dataflow


def _prepare(settings: Settings, metrics: Metrics, logs: TextIO) -> None:
    """Set up logs, retry hooks, signals, metrics and memory, once a process."""
    global _debug  # noqa: PLW0603 - one flow a process; its steps cannot be told more
    _debug = settings.debug
    configure(settings, logs)
    # SIGTERM keeps its default: the process ends at once, and what was not committed is
    # read again. A handler that raises would hang a cluster.
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    if settings.metrics.port:
        _serve(settings, metrics)
    # Events hold no cycles; walking millions of them costs 5 % and frees nothing. What
    # other code leaves behind is collected every so often by generation 2 alone.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    gc.enable()
    # Arrow's own pool gives pages back that the next poll needs again.
    pa.set_memory_pool(pa.system_memory_pool())


def ends_process(function: Callable[P, R]) -> Callable[P, R]:
    """A step of a flow, whose errors end the process by their own exit code."""

    @functools.wraps(function)
    def step(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except StopIteration:  # Bytewax's own word for the end of input
            raise
        except Exception as error:
            end(error)

    return step


def end(error: Exception) -> NoReturn:
    """Say what happened, and leave without passing through Bytewax."""
    if _debug:
        traceback.print_exception(error)
    if isinstance(error, SemLoopError):
        print(error, file=sys.stderr, flush=True)
        os._exit(error.exit_code)
    print(
        f"{unexpected(error)}; nothing is lost.\n"
        "Run again with SEMLOOP_DEBUG=1 for the traceback, and report it.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _run_with_peers(dataflow: Dataflow, addresses: Sequence[str], index: int) -> None:
    _wait_for_listeners(addresses[:index])
    try:
        cli_main(dataflow, process_id=index, addresses=list(addresses))  # type: ignore[no-untyped-call]
    except BaseException:
        # Our own steps never raise: what comes here is Bytewax without a peer, in a
        # panic that says so at length.
        end(PeerLost("Another process ended.", "Start all of them again."))


def _wait_for_listeners(addresses: Sequence[str]) -> None:
    """Wait until those listen whom Bytewax connects to: it tries but once a second.

    Looked up in Linux's table, since a connection would be taken for a peer's.
    """
    wanted = {int(address.rpartition(":")[2]) for address in addresses}
    deadline = time.monotonic() + PEERS_LISTEN_S
    while LISTENERS.exists() and time.monotonic() < deadline:
        rows = [row.split() for row in LISTENERS.read_text().splitlines()[1:]]
        ports = {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}
        if wanted <= ports:
            return
        time.sleep(0.01)


def _logs_apart() -> TextIO:
    """Logs go where the standard output went, and that goes where errors go.

    So whoever started this process tells logs from what Bytewax prints about peers.
    """
    logs = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return logs


def _serve(settings: Settings, metrics: Metrics) -> None:
    try:
        prometheus_client.start_http_server(
            settings.metrics.port, settings.metrics.host, metrics.registry
        )
    except OSError as error:
        msg = f"Metrics port {settings.metrics.port} is not free: {error.strerror}."
        raise ConfigError(msg, "Set SEMLOOP_METRICS_PORT to another one.") from None
