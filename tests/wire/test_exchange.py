"""One exchange over real loopback sockets, on both event loops."""

import asyncio
import inspect
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop

from drivers.errors import BadReply, DeviceTimeout, DriverError, Unreachable
from drivers.wire.exchange import SocketWire

HOST = "127.63.0.1"
REQUEST = b'{"command":"summary"}'
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def on_each_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test once on each kind of event loop."""

    def run(loop: str, **values: Any) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(test(**values))

    names = ["loop", *inspect.signature(test).parameters]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    )
    run.__name__ = test.__name__
    return pytest.mark.parametrize("loop", LOOPS)(run)


@asynccontextmanager
async def peer(handler: Handler) -> AsyncIterator[int]:
    """A device that does what `handler` does; gives its port, ends every connection."""
    tasks: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0, backlog=1000)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def saying(*pieces: bytes, then: str = "close") -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.006)
        if then == "hold":
            await reader.read()
        if then == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    return handler


async def ask(wire: SocketWire, port: int, **more: Any) -> bytes:
    values = {"deadline_s": 5.0, "limit_bytes": 1 << 20} | more
    return await wire.exchange(HOST, port, REQUEST, **values)


def sockets() -> int:
    """How many of our descriptors are sockets."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the descriptor of the listing itself has gone
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return found


@pytest.mark.parametrize(
    ("pieces", "then", "answer"),
    [
        ((b"whole\0",), "hold", b"whole"),
        ((b"whole\0and more",), "hold", b"whole"),
        ((b"whole",), "close", b"whole"),
        ((b"in ", b"many ", b"pieces", b"\0"), "hold", b"in many pieces"),
        ((b"in ", b"pieces"), "close", b"in pieces"),
        ((b"x" * 100_000, b"y" * 100_000), "close", b"x" * 100_000 + b"y" * 100_000),
        ((b"x" * 32_768,), "close", b"x" * 32_768),
        ((b"x" * 65_536 + b"\0",), "hold", b"x" * 65_536),
        ((b"\0",), "hold", b""),
    ],
)
@on_each_loop
async def test_nul_or_the_end_ends_an_answer(
    pieces: tuple[bytes, ...], then: str, answer: bytes
) -> None:
    async with peer(saying(*pieces, then=then)) as port, SocketWire() as wire:
        assert await ask(wire, port) == answer


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (saying(b"half an ans", then="reset"), "reset by peer"),
        (saying(then="reset"), "reset by peer"),
        (saying(), "closed without an answer"),
    ],
)
@on_each_loop
async def test_a_broken_connection_is_unreachable(handler: Handler, words: str) -> None:
    async with peer(handler) as port, SocketWire() as wire:
        with pytest.raises(Unreachable, match=words):
            await ask(wire, port)


@on_each_loop
async def test_nobody_listens() -> None:
    with socket.create_server((HOST, 0)) as sock:
        port = sock.getsockname()[1]
    async with SocketWire() as wire:
        with pytest.raises(Unreachable, match=f"{HOST}:{port}: Connection refused"):
            await ask(wire, port)


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b".")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("handler", "heard"), [(saying(then="hold"), "nothing came"), (drip, r"\d+ bytes of it came")]
)
@on_each_loop
async def test_a_deadline_is_kept(handler: Handler, heard: str) -> None:
    async with peer(handler) as port, SocketWire() as wire:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(DeviceTimeout, match=heard):
                await ask(wire, port, deadline_s=0.2)
            assert 0.19 < time.monotonic() - began < 0.4


@on_each_loop
async def test_many_deadlines_of_one_moment_are_all_kept() -> None:
    async with peer(saying(then="hold")) as port, SocketWire() as wire:
        asked = [ask(wire, port, deadline_s=0.1 + at * 0.003) for at in range(40)]
        async with asyncio.timeout(2):
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {DeviceTimeout}


@on_each_loop
async def test_no_time_left_is_a_timeout_without_a_connection() -> None:
    async with SocketWire() as wire:
        for deadline_s in (0.0, -1.0):
            with pytest.raises(DeviceTimeout, match="no time left"):
                await ask(wire, 1, deadline_s=deadline_s)


@on_each_loop
async def test_an_answer_over_the_limit_is_a_bad_reply() -> None:
    async with peer(saying(b"x" * 1001, then="hold")) as port, SocketWire() as wire:
        with pytest.raises(BadReply, match=r"over 1000 bytes.*xxx"):
            await ask(wire, port, limit_bytes=1000)
    async with peer(saying(b"x" * 1000)) as port, SocketWire() as wire:
        assert len(await ask(wire, port, limit_bytes=1000)) == 1000


@on_each_loop
async def test_the_request_leaves_in_one_segment() -> None:
    received: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        received.append(await reader.read(4096))
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        segments.append(struct.unpack_from("I", info, 152)[0])
        writer.write(b"ok\0")

    segments: list[int] = []
    big = b'{"command":"' + b"x" * 4080 + b'"}'
    async with peer(handler) as port, SocketWire() as wire:
        await wire.exchange(HOST, port, big, deadline_s=5, limit_bytes=100)
    assert received == [big]
    assert segments == [1]  # tcpi_data_segs_in


@on_each_loop
async def test_cancelling_closes_the_socket() -> None:
    ended = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        asked.set()
        assert await reader.read() == b""
        ended.set()

    asked = asyncio.Event()
    async with peer(handler) as port, SocketWire() as wire:
        task = asyncio.ensure_future(ask(wire, port))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(2):
            await ended.wait()
        assert "0 open" in repr(wire)


@on_each_loop
async def test_no_descriptor_is_lost_whatever_happens() -> None:
    endings = [saying(b"x\0"), saying(), saying(b"h", then="reset"), saying(then="hold"), drip]
    async with SocketWire() as wire:
        await asyncio.gather(ask(wire, 1), return_exceptions=True)
        before = sockets()
        for handler in endings:
            async with peer(handler) as port:
                for deadline_s in (0.05, 0.2):
                    asked = [ask(wire, port, deadline_s=deadline_s) for _ in range(10)]
                    tasks = [asyncio.ensure_future(one) for one in asked]
                    await asyncio.sleep(0)
                    for task in tasks[::3]:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        assert "0 open" in repr(wire)
        async with asyncio.timeout(2):
            while sockets() > before:
                await asyncio.sleep(0.01)


@on_each_loop
async def test_five_hundred_at_once() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"for " + (await reader.read(4096)) + b"\0")

    async with peer(handler) as port, SocketWire() as wire:

        async def one(number: int) -> bool:
            answer = await wire.exchange(
                HOST, port, b"%d" % number, deadline_s=10, limit_bytes=1000
            )
            return answer == b"for %d" % number

        assert all(await asyncio.gather(*map(one, range(500))))


@on_each_loop
async def test_the_source_address_is_used() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(writer.get_extra_info("peername")[0].encode() + b"\0")

    async with peer(handler) as port, SocketWire(source_address="127.63.9.9") as wire:
        assert await asyncio.gather(*(ask(wire, port) for _ in range(3))) == [b"127.63.9.9"] * 3


@on_each_loop
async def test_a_source_address_that_is_not_ours() -> None:
    async with SocketWire(source_address="192.0.2.1") as wire:
        with pytest.raises(DriverError, match="Cannot assign requested address"):
            await ask(wire, 1)


@on_each_loop
async def test_closing_the_wire_fails_what_is_open_and_what_comes() -> None:
    async with peer(saying(then="hold")) as port:
        wire = SocketWire()
        tasks = [asyncio.ensure_future(ask(wire, port)) for _ in range(3)]
        await asyncio.sleep(0.02)
        wire.close()
        wire.close()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unreachable}
        with pytest.raises(Unreachable, match="wire was closed"):
            await ask(wire, port)


OUT_OF_DESCRIPTORS = """
import asyncio, resource, socket
from drivers.errors import NoResources
from drivers.wire.exchange import SocketWire

async def main():
    async with SocketWire() as wire:
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
        held = []
        try:
            while True:
                held.append(socket.socket())
        except OSError:
            pass
        try:
            await wire.exchange("127.63.0.1", 1, b"x", deadline_s=1, limit_bytes=10)
        except NoResources as error:
            print(error, error.transient)
        for sock in held:
            sock.close()

asyncio.run(main())
"""


def test_without_descriptors_the_device_is_not_blamed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_DESCRIPTORS], capture_output=True, text=True, check=True
    )
    assert done.stdout == "127.63.0.1:1: Too many open files True\n"
    assert done.stderr == ""
