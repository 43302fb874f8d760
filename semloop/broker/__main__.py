"""`python -m semloop.broker`: the embedded broker, for one folder, until SIGTERM."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from semloop.broker.broker import Broker
from semloop.broker.recovery import Locked
from semloop.broker.server import CONNECTIONS_MAX, Server
from semloop.broker.store import Store
from semloop.open_files import raised_file_limit

LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
# Each partition has a file or more, each connection a socket.
FILES = 8_192


async def _run(store: Store, host: str, port: int, connections_max: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await Server(Broker(store, host, port), connections_max).run(stopping)


def main() -> int:
    """Run the broker.

    Returns:
        the exit code.
    """
    parser = argparse.ArgumentParser(prog="semloop.broker", description=__doc__)
    parser.add_argument("--listen", required=True, type=_address, help="host:port")
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--mb-max", required=True, type=int, help="of all records")
    parser.add_argument("--group", required=True, help="deletes what it has committed")
    arguments = parser.parse_args()
    host, port = arguments.listen
    connections_max = min(CONNECTIONS_MAX, raised_file_limit(FILES) // 4)
    try:
        store = Store(arguments.folder, arguments.mb_max * 2**20, arguments.group)
    except Locked:
        sys.stderr.write(f"Another broker uses {arguments.folder}.\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename or arguments.folder}: {error.strerror}.\n")
        return 1
    try:
        asyncio.run(_run(store, host, port, connections_max))
    except OSError as error:
        sys.stderr.write(f"{host}:{port}: {error.strerror}.\n")
        return 1
    finally:
        store.close()
    return 0


def _address(text: str) -> tuple[str, int]:
    """Return host and port; there are no logins, so only this machine may connect."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if host not in LOCAL_HOSTS or not port.isdecimal() or int(port) >= 2**16:
        msg = f"not the port of one of {', '.join(LOCAL_HOSTS)}"
        raise argparse.ArgumentTypeError(msg)
    return host, int(port)


if __name__ == "__main__":
    sys.exit(main())
