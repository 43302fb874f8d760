"""`python -m semloop.broker`: the embedded broker, for one folder, until SIGTERM."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from semloop.broker.broker import Broker
from semloop.broker.recovery import Locked
from semloop.broker.server import Server
from semloop.broker.store import Store


async def _run(store: Store, host: str, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await Server(Broker(store, host, port)).run(stopping)


def main() -> int:
    """Run the broker.

    Returns:
        the exit code.
    """
    parser = argparse.ArgumentParser(prog="semloop.broker", description=__doc__)
    parser.add_argument("--listen", required=True, help="host:port")
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--mb-max", required=True, type=int, help="of all records")
    parser.add_argument("--group", required=True, help="deletes what it has committed")
    arguments = parser.parse_args()
    host, _, port = arguments.listen.rpartition(":")
    try:
        store = Store(arguments.folder, arguments.mb_max * 2**20, arguments.group)
    except Locked:
        sys.stderr.write(f"Another broker uses {arguments.folder}.\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename or arguments.folder}: {error.strerror}.\n")
        return 1
    try:
        asyncio.run(_run(store, host, int(port)))
    except OSError as error:
        sys.stderr.write(f"{arguments.listen}: {error.strerror}.\n")
        return 1
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
