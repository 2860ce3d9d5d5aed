"""Several frames on one connection, over real loopback sockets, on both event loops."""

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from drivers.errors import BadReply, DeviceTimeout, Unreachable
from drivers.wire.exchange import SocketWire
from drivers.wire.framed import length_of
from tests.wire.test_exchange import HOST, Handler, on_each_loop, peer, sockets

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Act = Callable[[bytes, Reader, Writer], Awaitable[bool]]


def frame(body: bytes, says: int | None = None) -> bytes:
    return struct.pack("<I", len(body) if says is None else says) + body


def device(act: Act, heard: list[bytes] | None = None) -> Handler:
    """A device that takes whole frames and does what `act` does with each, until it says False."""

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            try:
                (length,) = struct.unpack("<I", await reader.readexactly(4))
                body = await reader.readexactly(length)
            except asyncio.IncompleteReadError:
                return
            if heard is not None:
                heard.append(body)
            if not await act(body, reader, writer):
                return

    return handler


async def echo(body: bytes, _: Reader, writer: Writer) -> bool:
    writer.write(frame(body.upper()))
    await writer.drain()
    return True


async def ask(wire: SocketWire, port: int, *bodies: bytes, **more: Any) -> list[bytes]:
    values: dict[str, Any] = {"deadline_s": 5.0, "limit_bytes": 1 << 16, "length_of": length_of}
    values |= more
    return await wire.converse(HOST, port, [frame(body) for body in bodies], **values)


@on_each_loop
async def test_one_question_after_the_other_on_one_connection() -> None:
    heard: list[bytes] = []
    async with peer(device(echo, heard)) as port, SocketWire() as wire:
        before = sockets()
        assert await ask(wire, port, b"a", b"bb", b"ccc") == [
            frame(b"A"),
            frame(b"BB"),
            frame(b"CCC"),
        ]
        assert heard == [b"a", b"bb", b"ccc"]
        assert sockets() - before <= 1  # ours is closed, the device's may be a moment behind


@on_each_loop
async def test_one_question_alone_and_an_empty_answer() -> None:
    async with peer(device(echo)) as port, SocketWire() as wire:
        assert await ask(wire, port, b"a") == [frame(b"A")]
        assert await ask(wire, port, b"", b"b") == [frame(b""), frame(b"B")]


@on_each_loop
async def test_answers_in_many_pieces() -> None:
    async def dribble(body: bytes, _: Reader, writer: Writer) -> bool:
        for at in range(0, len(whole := frame(body * 5)), 3):
            writer.write(whole[at : at + 3])
            await writer.drain()
            await asyncio.sleep(0.003)
        return True

    async with peer(device(dribble)) as port, SocketWire() as wire:
        assert await ask(wire, port, b"abc", b"de") == [frame(b"abc" * 5), frame(b"de" * 5)]


@on_each_loop
async def test_answers_larger_than_a_receive() -> None:
    async def much(body: bytes, _: Reader, writer: Writer) -> bool:
        writer.write(frame(body * 100_000))
        await writer.drain()
        return True

    async with peer(device(much)) as port, SocketWire() as wire:
        found = await ask(wire, port, b"x", b"y", limit_bytes=1 << 20)
        assert [len(answer) for answer in found] == [100_004, 100_004]
        assert found[1][4:] == b"y" * 100_000


async def once(body: bytes, _: Reader, writer: Writer) -> bool:
    writer.write(frame(body))
    await writer.drain()
    return False


async def once_and_reset(body: bytes, _: Reader, writer: Writer) -> bool:
    """Close hard, as a device does that has not read the next question."""
    writer.write(frame(body))
    await writer.drain()
    await asyncio.sleep(0.02)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
    return False


@pytest.mark.parametrize("act", [once, once_and_reset])
@on_each_loop
async def test_a_device_that_closes_after_an_answer(act: Act) -> None:
    async with peer(device(act)) as port, SocketWire() as wire:
        for _ in range(20):
            assert await ask(wire, port, b"a", b"b", b"c") == [frame(b"a")]


@on_each_loop
async def test_half_an_answer_after_a_whole_one_does_not_count() -> None:
    async def half(body: bytes, _: Reader, writer: Writer) -> bool:
        writer.write(frame(body) if body == b"a" else frame(body, says=900))
        await writer.drain()
        return body == b"a"

    async with peer(device(half)) as port, SocketWire() as wire:
        assert await ask(wire, port, b"a", b"b") == [frame(b"a")]
        with pytest.raises(Unreachable, match="closed after 5 bytes"):
            await ask(wire, port, b"b", b"a")


@on_each_loop
async def test_a_length_beyond_the_limit_is_refused_at_once() -> None:
    async def lie(body: bytes, reader: Reader, writer: Writer) -> bool:
        writer.write(frame(body, says=4_000_000_000))
        await reader.read()
        return False

    async with peer(device(lie)) as port, SocketWire() as wire:
        began = time.monotonic()
        with pytest.raises(BadReply, match="over 65536 bytes"):
            await ask(wire, port, b"a", b"b")
        assert time.monotonic() - began < 2


@on_each_loop
async def test_what_speaks_no_frames_is_a_bad_reply() -> None:
    async def web(reader: Reader, writer: Writer) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with peer(web) as port, SocketWire() as wire:
        with pytest.raises(BadReply, match=r"HTTP/1\.1 400"):
            await ask(wire, port, b"a", b"b")


@on_each_loop
async def test_bytes_beyond_a_frame_are_dropped() -> None:
    async def chatty(body: bytes, _: Reader, writer: Writer) -> bool:
        writer.write(frame(body.upper()) + frame(b"a report nobody asked for"))
        await writer.drain()
        return True

    async with peer(device(chatty)) as port, SocketWire() as wire:
        assert await ask(wire, port, b"a", b"b") == [frame(b"A"), frame(b"B")]


@pytest.mark.parametrize("silent_at", [b"a", b"b"])
@on_each_loop
async def test_a_silent_device_meets_the_deadline(silent_at: bytes) -> None:
    async def tarpit(body: bytes, reader: Reader, writer: Writer) -> bool:
        if body == silent_at:
            await reader.read()
            return False
        return await echo(body, reader, writer)

    async with peer(device(tarpit)) as port, SocketWire() as wire:
        began = time.monotonic()
        with pytest.raises(DeviceTimeout):
            await ask(wire, port, b"a", b"b", deadline_s=0.3)
        assert 0.25 < time.monotonic() - began < 1.0


@on_each_loop
async def test_a_byte_at_a_time_meets_the_deadline() -> None:
    async def drip(body: bytes, _: Reader, writer: Writer) -> bool:
        for byte in frame(body * 1000):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        return True

    async with peer(device(drip)) as port, SocketWire() as wire:
        with pytest.raises(DeviceTimeout, match="bytes"):
            await ask(wire, port, b"a", b"b", deadline_s=0.3)


@on_each_loop
async def test_a_device_that_says_nothing_or_is_not_there() -> None:
    async def mute(reader: Reader, _: Writer) -> None:
        await reader.read(100)

    async with peer(mute) as port, SocketWire() as wire:
        with pytest.raises(Unreachable, match="closed after 0 bytes"):
            await ask(wire, port, b"a", b"b")
    async with SocketWire() as wire:
        with pytest.raises(Unreachable, match="refused"):
            await ask(wire, port, b"a", b"b")


@on_each_loop
async def test_many_at_once_beside_plain_exchanges() -> None:
    async def plain(reader: Reader, writer: Writer) -> None:
        writer.write(await reader.read(100) + b"\0")

    async with peer(device(echo)) as port, peer(plain) as other, SocketWire() as wire:
        before = sockets()
        talks = [ask(wire, port, b"%d" % at, b"x") for at in range(150)]
        plains = [
            wire.exchange(HOST, other, b"%d" % at, deadline_s=5, limit_bytes=100)
            for at in range(150)
        ]
        answers, words = await asyncio.gather(asyncio.gather(*talks), asyncio.gather(*plains))
        assert answers == [[frame(b"%d" % at), frame(b"X")] for at in range(150)]
        assert words == [b"%d" % at for at in range(150)]
        await asyncio.sleep(0.05)
        assert sockets() <= before


@on_each_loop
async def test_a_cancelled_conversation_gives_its_descriptor_back() -> None:
    async def hold(_: bytes, reader: Reader, __: Writer) -> bool:
        await reader.read()
        return False

    async with peer(device(hold)) as port, SocketWire() as wire:
        task = asyncio.create_task(ask(wire, port, b"a", b"b"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "0 open" in repr(wire)
