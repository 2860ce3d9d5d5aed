"""The one process that calls NVML: does what its supervisor asks, and may never come back.

Started by the supervisor with two descriptors: its end of a pair of sockets, and the cell in which
it notes each call beforehand. It ends when the other end of the pair is closed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import threading
import traceback
from typing import Any

import msgspec

from drivers.errors import DriverError
from drivers.gpu.answers import Problem, problem_of
from drivers.gpu.cell import Cell
from drivers.gpu.errands import Errand, NotDone, Noticed, encode, errand_decoder
from drivers.gpu.errors import Cause
from drivers.gpu.framing import ANSWER_LIMIT_BYTES, Frames, frame
from drivers.gpu.nvml.hand import Hand
from drivers.gpu.nvml.session import Nvml

LISTEN_S = 1.0
"""How often it is looked whether events are heard."""
_YOUNG_OBJECTS = 20_000


class Child:
    """Reads errands from a socket and writes what came of them, until the socket is closed."""

    def __init__(self, sock: socket.socket, cell: Cell) -> None:
        self._sock = sock
        self._nvml = Nvml(cell)
        self._hand = Hand(self._nvml, self._send)
        self._sending = threading.Lock()

    def run(self) -> None:
        """Work until the supervisor lets go of us."""
        frames = Frames(ANSWER_LIMIT_BYTES)
        readable = select.poll()
        readable.register(self._sock, select.POLLIN)
        try:
            while True:
                if not readable.poll(LISTEN_S * 1000):
                    self._hand.listen()
                    continue
                data = self._sock.recv(65536)
                if not data:
                    return
                for payload in frames.feed(data):
                    self._work(errand_decoder.decode(payload))
        finally:
            self._hand.close()

    def _work(self, errand: Errand) -> None:
        try:
            self._send(self._hand.carry_out(errand))
        except DriverError as error:
            self._send(NotDone(id=errand.id, problem=problem_of(error, self._nvml.last)))
        except Exception as error:
            traceback.print_exc()
            problem = Problem(Cause.FAILED, f"{type(error).__name__}: {error}", self._nvml.last)
            self._send(NotDone(id=errand.id, problem=problem))
        self._hand.listen()

    def _send(self, message: msgspec.Struct | Noticed) -> None:
        with self._sending, contextlib.suppress(ConnectionError):
            self._sock.sendall(frame(encode(message)))


def _leave(_signal: int, _frame: Any) -> None:
    sys.exit(0)


def main() -> None:
    """Run with the numbers of the two descriptors as arguments."""
    signal.signal(signal.SIGTERM, _leave)
    # from a terminal it goes to the whole group: the supervisor decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sock = socket.socket(fileno=int(sys.argv[1]))
    cell_descriptor = int(sys.argv[2])
    cell = Cell(cell_descriptor)
    os.close(cell_descriptor)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 50, 100)
    Child(sock, cell).run()


if __name__ == "__main__":
    main()
