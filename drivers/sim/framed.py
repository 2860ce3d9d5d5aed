"""The framed port of the site: four bytes of length, least first, then JSON; both ways."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from drivers.sim.answers import Reply
from drivers.sim.asking import Asking, Sockets
from drivers.sim.face import Framed
from drivers.sim.machine import Machine
from drivers.sim.protocol import Row

REQUEST_BYTES = 65_536


class FramedConnection(Asking):
    """One client's connection, which may carry many frames."""

    def __init__(self, sockets: Sockets, framed_of: Callable[[Machine], Framed | None]) -> None:
        super().__init__(sockets)
        self._framed_of = framed_of

    def serves(self, machine: Machine) -> bool:
        """True where the machine speaks in frames."""
        return self._framed_of(machine) is not None

    def advance(self) -> None:
        """Take the next frame off the buffer where it is whole; drop who sends no frames."""
        length = int.from_bytes(self.buffer[:4], "little")
        if length > REQUEST_BYTES:
            self.transport.abort()
        elif len(self.buffer) >= 4 + length:
            body, self.buffer = self.buffer[4 : 4 + length], self.buffer[4 + length :]
            self.think(lambda machine: self._answer_frame(machine, body))

    def _answer_frame(self, machine: Machine, body: bytes) -> None:
        framed = self._framed_of(machine)
        request = _decoded(body)
        if framed is None or request is None:
            self.transport.abort()
            return
        moment = machine.at(self.now(machine))
        answer = framed(machine, request, moment)
        raw = msgspec.json.encode(answer)
        command = str(request.get("cmd"))
        if request.get("param") is not None:
            command = f"{command}|{request['param']}"
        frame = len(raw).to_bytes(4, "little") + raw
        # An empty object stands for a machine that hangs up without a word.
        self.reply_after(Reply(frame, command, silent=not answer), stays=True)


def _decoded(body: bytes) -> Row | None:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
