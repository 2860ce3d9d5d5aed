"""A connected socket between the event loop and paho: writes gather, reads come in bulk.

paho reads packets byte by byte and writes one packet per system call; to it this is the
socket, while every transfer with the kernel is one call for many packets.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from agent.mqtt.events import Stats

CHUNK = 65_536  # bytes per system call

# Under TLS a read may have to wait for a write, and the other way round.
_WAIT_TO_READ = (BlockingIOError, ssl.SSLWantReadError)
_WAIT_TO_WRITE = (BlockingIOError, ssl.SSLWantWriteError)


class Pipe:
    """One socket; `on_data` gets what arrives, `on_end` hears once why it is over."""

    def __init__(
        self,
        sock: socket.socket,
        stats: Stats,
        on_data: Callable[[bytes], None],
        on_end: Callable[[OSError | None], None],
    ) -> None:
        self.inbox = bytearray()
        """Whole packets that wait for paho to read them."""
        self.closed = False
        self.blocked = False
        """True while the kernel takes no more: the peer or the path is slow."""
        self.progress = 0
        """Grows whenever the peer shows life: it sent something, or made room."""
        self._sock = sock
        self._stats = stats
        self._pending = getattr(sock, "pending", None)
        self._on_data = on_data
        self._on_end = on_end
        self._outbox = bytearray()
        self._flushing = False
        self._waits_for_read = False
        self._loop = asyncio.get_running_loop()
        self._fileno = sock.fileno()

    def start(self) -> None:
        """Begin to read; from here on only close() lets go of the socket."""
        self._loop.add_reader(self._fileno, self._readable)

    # What paho calls.

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes of the inbox."""
        if not self.inbox:
            if self.closed:
                return b""
            raise BlockingIOError
        taken = bytes(self.inbox[:size])
        del self.inbox[:size]
        return taken

    def send(self, data: bytes | bytearray) -> int:
        """Take all of `data`; it leaves with the next flush.

        Never raises: paho would report an error under the lock that it calls us with.
        """
        if not self.closed:
            self.write(data)
        return len(data)

    def close(self) -> None:
        """Send what the kernel takes at once, then close; harmless when repeated."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._fileno)
        if self.blocked:
            self._loop.remove_writer(self._fileno)
        try:
            if self._outbox:
                self._sock.send(self._outbox)
        except OSError:
            pass  # it is over either way
        finally:
            self._sock.close()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._fileno

    def setblocking(self, flag: bool) -> None:
        """Nothing to do: the socket never blocks."""

    # What the link calls.

    def write(self, data: bytes | bytearray) -> None:
        """Queue `data`; one flush at the loop's next turn takes everything queued till then."""
        self._outbox += data
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    # What the event loop calls.

    def _flush(self) -> None:
        if self.closed:
            return
        try:
            sent = self._send_some()
        except _WAIT_TO_WRITE:
            sent = 0
        except ssl.SSLWantReadError:
            self._waits_for_read = True
            return
        except OSError as error:
            self._end(error)
            return
        # Under TLS a retry must not offer less than before (paho.mqtt.python#891,
        # BAD_LENGTH): the outbox only loses what was sent.
        del self._outbox[:sent]
        self._stats.bytes_out += sent
        self._follow_up(sent)

    def _send_some(self) -> int:
        if len(self._outbox) <= CHUNK:
            return self._sock.send(self._outbox)
        # A bounded piece: OpenSSL reports nothing sent until all it was given is.
        with memoryview(self._outbox) as view, view[:CHUNK] as piece:
            return self._sock.send(piece)

    def _follow_up(self, sent: int) -> None:
        """Go on when the kernel has room again, if anything is left."""
        if self.blocked and sent:
            self.progress += 1
        if bool(self._outbox) != self.blocked:
            self.blocked = not self.blocked
            if self.blocked:
                self._loop.add_writer(self._fileno, self._flush)
            else:
                self._loop.remove_writer(self._fileno)
        self._flushing = self.blocked

    def _readable(self) -> None:
        if self._waits_for_read:
            self._waits_for_read = False
            self._flush()
        while not self.closed:
            try:
                data = self._sock.recv(CHUNK)
            except _WAIT_TO_READ:
                return
            except ssl.SSLWantWriteError:
                return  # the descriptor stays readable, so the next turn tries again
            except OSError as error:
                self._end(error)
                return
            if not data:
                self._end(None)
                return
            self._stats.bytes_in += len(data)
            self.progress += 1
            self._on_data(data)
            # What the kernel still holds wakes us again; what OpenSSL holds does not.
            if self._pending is None or not self._pending():
                return

    def _end(self, error: OSError | None) -> None:
        self.close()
        self._on_end(error)
