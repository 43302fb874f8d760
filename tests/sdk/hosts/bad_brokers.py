"""Servers that are no good broker."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

CHUNK = 65_536
Answer = Callable[[socket.socket], None]


@contextlib.contextmanager
def bad_broker(how: str, forward_to: str = "") -> Iterator[str]:
    """Yield the address of a server; it ends with the block.

    Args:
        how: `silent` accepts connections and never answers, `closing` closes them,
            `garbage` answers what is not Kafka, `slow` forwards, but holds back each
            answer for 3 seconds.
        forward_to: the broker behind a slow one.
    """
    answers: dict[str, Answer] = {
        "silent": _never,
        "closing": socket.socket.close,
        "garbage": lambda client: client.sendall(b"\xff" * 64),
        "slow": lambda client: _forward(client, forward_to),
    }
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        clients: list[socket.socket] = []
        arguments = (server, clients, answers[how])
        threading.Thread(target=_serve, args=arguments, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        # `close` alone does not wake the thread that waits for a connection.
        server.shutdown(socket.SHUT_RDWR)
        for client in clients:
            client.close()


def _serve(server: socket.socket, clients: list[socket.socket], answer: Answer) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        clients.append(client)
        with contextlib.suppress(OSError):
            answer(client)


def _never(_: socket.socket) -> None:
    """Leave a connection open."""


def _forward(client: socket.socket, address: str) -> None:
    host, port = address.split(":")
    broker = socket.create_connection((host, int(port)))
    for source, target, delay_s in ((client, broker, 0), (broker, client, 3)):
        threading.Thread(
            target=_copy, args=(source, target, delay_s), daemon=True
        ).start()


def _copy(source: socket.socket, target: socket.socket, delay_s: float) -> None:
    with contextlib.suppress(OSError), source, target:
        while content := source.recv(CHUNK):
            time.sleep(delay_s)
            target.sendall(content)
