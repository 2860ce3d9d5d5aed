"""Brokers that no real broker can be made to be: scripts for the other end of a connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

CONNACK_V5 = b"\x20\x03\x00\x00\x00"
CONNACK_V4 = b"\x20\x02\x00\x00"
PINGRESP = b"\xd0\x00"
PUBLISH, SUBSCRIBE, PINGREQ = 3, 8, 12


class Peer:
    """The broker's end of one connection, packet by packet."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def packet(self) -> bytes:
        """The next packet whole."""
        head = await self.reader.readexactly(1)
        size = shift = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return head + await self.reader.readexactly(size)

    async def connect(self) -> int:
        """The version of the CONNECT that comes."""
        packet = await self.packet()
        assert packet[:7] == b"\x10\x00\x04MQTT"
        return packet[7]

    async def say(self, data: bytes) -> None:
        """Send bytes, whatever they mean."""
        self._writer.write(data)
        await self._writer.drain()

    def stop_reading(self) -> None:
        """Take nothing more, so that what the client sends is stuck with it."""
        transport = self._writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        peer = self._writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    async def answer_pings(self) -> None:
        """Answer pings and nothing else, until the client goes."""
        while True:
            if (await self.packet())[0] == 0xC0:
                await self.say(PINGRESP)


Script = Callable[[Peer], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(script: Script) -> AsyncIterator[int]:
    """A broker that does with each connection what the script says; its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await script(Peer(reader, writer))
        except asyncio.CancelledError:
            pass
        finally:
            tasks.discard(task)
            writer.close()

    tasks: set[asyncio.Task[None]] = set()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# --- scripts ------------------------------------------------------------------------------------


async def never_acknowledges(peer: Peer) -> None:
    """Take everything, answer pings, acknowledge nothing."""
    await peer.connect()
    await peer.say(CONNACK_V5)
    await peer.answer_pings()


async def closes_at_once(_peer: Peer) -> None:
    """Hang up before a word."""


async def closes_before_connack(peer: Peer) -> None:
    """Hang up upon CONNECT."""
    await peer.connect()


async def closes_after_connack(peer: Peer) -> None:
    """Welcome, and hang up."""
    await peer.connect()
    await peer.say(CONNACK_V5)


async def closes_upon_publish(peer: Peer) -> None:
    """Hang up upon the first message instead of acknowledging it."""
    await peer.connect()
    await peer.say(CONNACK_V5)
    while (await peer.packet())[0] >> 4 != PUBLISH:
        pass


async def refuses(peer: Peer) -> None:
    """Refuse every client for good: bad user name or password."""
    await peer.connect()
    await peer.say(b"\x20\x03\x00\x86\x00")


async def stays_silent(peer: Peer) -> None:
    """Take everything and say nothing at all, as a frozen broker does."""
    while await peer.reader.read(1 << 16):
        pass


async def floods(peer: Peer) -> None:
    """Send messages that nobody asked for, as fast as they are taken, and acknowledge as well."""
    await peer.connect()
    await peer.say(CONNACK_V5)
    flood = asyncio.create_task(_flood(peer))
    try:
        await acknowledge_all(peer)
    finally:
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)


async def _flood(peer: Peer) -> None:
    topic, content = b"\x00\x05flood\x00", bytes(1000)
    message = b"\x30" + _length(len(topic) + len(content)) + topic + content
    while True:
        await peer.say(message * 16)
        await asyncio.sleep(0)


def _length(size: int) -> bytes:
    return bytes((size % 128 | 128, size // 128)) if size > 127 else bytes((size,))


async def serves(peer: Peer) -> None:
    """Do what a broker should, as far as a publisher sees it."""
    await peer.connect()
    await peer.say(CONNACK_V5)
    await acknowledge_all(peer)


async def acknowledge_all(peer: Peer) -> None:
    """Acknowledge messages and subscriptions, and answer pings, until the client goes."""
    while True:
        packet = await peer.packet()
        kind = packet[0] >> 4
        body = packet[1:]  # `packet` leaves the length out
        if kind == PUBLISH:
            topic_end = 2 + int.from_bytes(body[:2], "big")
            await peer.say(b"\x40\x02" + body[topic_end : topic_end + 2])
        elif kind == SUBSCRIBE:
            await peer.say(b"\x90\x04" + body[:2] + b"\x00\x01")
        elif kind == PINGREQ:
            await peer.say(PINGRESP)


BROKEN: dict[str, Script] = {
    script.__name__: script
    for script in (
        never_acknowledges,
        closes_at_once,
        closes_before_connack,
        closes_after_connack,
        closes_upon_publish,
        refuses,
        stays_silent,
    )
}
"""Every script that delivers nothing."""
