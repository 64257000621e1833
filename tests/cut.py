"""A proxy on loopback that lets only some bytes of the server through, as a connection does that is lost."""

import socket
import threading
from contextlib import suppress


class Cut:
    """Forwards connections to `port`. The first one on which the server sends `after` bytes is cut there."""

    def __init__(self, port: int) -> None:
        self.port, self.after, self.cuts = port, None, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.own = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with suppress(OSError), self._listener:
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pair, args=(client,), daemon=True).start()

    def _pair(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            there = threading.Thread(target=self._forward, args=(client, server, None), daemon=True)
            there.start()
            self._forward(server, client, self.after)
            there.join()

    def _forward(self, one: socket.socket, other: socket.socket, after: int | None) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                if after is not None:
                    data = data[:after]
                    after -= len(data)
                other.sendall(data)
                if after == 0:
                    self.cuts, self.after = self.cuts + 1, None
                    break
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
