"""The socket of `stoker-gpu`: what clients can do wrong, and that it harms themselves alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from drivers.errors import AccessDenied, DeviceTimeout, Unreachable
from drivers.gpu.answers import EventKind, Failed, Welcome
from drivers.gpu.client import GpuClient
from drivers.gpu.errors import Cause
from drivers.gpu.framing import ANSWER_LIMIT_BYTES, REQUEST_LIMIT_BYTES, Frames, frame
from drivers.gpu.protocol import (
    VERSION,
    Hello,
    Scan,
    Status,
    Tier,
    decode_server_message,
    encode,
)
from drivers.gpu.server import CLIENTS_MOST, UNREAD_BYTES
from drivers.sim.nvml.control import FakeGpus
from tests.gpu import ALL, FAST, Heard, Service, connected, fake_gpus, service


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGpus]:
    with fake_gpus(tmp_path_factory.mktemp("fake")) as gpus:
        yield gpus


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, fake: FakeGpus) -> Iterator[Service]:
    """One for all tests of this file: no client may spoil it for the next."""
    with service(tmp_path_factory.mktemp("socket"), fake) as started:
        yield started


@pytest.fixture
async def client(running: Service) -> AsyncIterator[GpuClient]:
    async with connected(running.path) as connection:
        yield connection


@pytest.fixture(autouse=True)
async def serves_on(running: Service) -> AsyncIterator[None]:
    """Whatever a test did, the next client is served as before."""
    async with connected(running.path) as before:
        await before.scan(FAST)
    yield
    async with connected(running.path) as after:
        assert len((await after.scan(FAST)).gpus) == 4
        assert running.process.poll() is None
        assert (await after.status()).children_started == 1


class Raw:
    """A client that may say anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.frames = Frames(ANSWER_LIMIT_BYTES)
        self.got: list[object] = []

    async def hear(self) -> object:
        """The next message; None where the connection has ended."""
        async with asyncio.timeout(5):
            while not self.got:
                data = await self.reader.read(65536)
                if not data:
                    return None
                self.got += [decode_server_message(each) for each in self.frames.feed(data)]
        return self.got.pop(0)


@contextlib.asynccontextmanager
async def raw(path: Path, *, hello: bool = True) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_unix_connection(path)
    connection = Raw(reader, writer)
    try:
        if hello:
            writer.write(frame(encode(Hello(VERSION))))
            assert isinstance(await connection.hear(), Welcome)
        yield connection
    finally:
        writer.close()


async def refused(connection: Raw, words: str) -> Failed:
    answer = await connection.hear()
    assert isinstance(answer, Failed)
    assert words in answer.problem.message
    return answer


# --- malformed -----------------------------------------------------------------------------------


async def test_a_message_that_is_none_is_named_and_the_connection_goes_on(
    running: Service,
) -> None:
    async with raw(running.path) as connection:
        connection.writer.write(frame(b"\xc1\xff"))
        await refused(connection, "not a request")
        connection.writer.write(frame(msgspec.msgpack.encode({"op": "fly", "id": 7})))
        assert (await refused(connection, "fly")).id == 7
        connection.writer.write(frame(msgspec.msgpack.encode({"op": "scan", "id": 8})))
        assert (await refused(connection, "tiers")).id == 8
        connection.writer.write(frame(encode(Status(id=9))))
        assert getattr(await connection.hear(), "id", None) == 9


async def test_a_message_over_the_limit_ends_the_connection(running: Service) -> None:
    async with raw(running.path) as connection:
        connection.writer.write(struct.pack("!I", REQUEST_LIMIT_BYTES + 1))
        await refused(connection, f"{REQUEST_LIMIT_BYTES} are allowed")
        assert await connection.hear() is None


async def test_hello_has_to_come_first(running: Service) -> None:
    async with raw(running.path, hello=False) as connection:
        connection.writer.write(frame(encode(Status(id=1))))
        await refused(connection, "hello has to come first")
        assert await connection.hear() is None


async def test_another_version_is_told_which_is_spoken(running: Service) -> None:
    async with raw(running.path, hello=False) as connection:
        connection.writer.write(frame(encode(Hello(VERSION + 1))))
        await refused(connection, f"speaks {VERSION}")
        assert await connection.hear() is None


async def test_noise_of_all_kinds(running: Service) -> None:
    noise = random.Random(7)
    for length in (1, 3, 4, 5, 100, 70_000):
        async with raw(running.path, hello=noise.random() < 0.5) as connection:
            with contextlib.suppress(ConnectionError):
                connection.writer.write(noise.randbytes(length))
                connection.writer.write_eof()
                while await connection.hear() is not None:
                    pass


async def test_a_client_that_ends_in_the_middle_of_a_message(running: Service) -> None:
    async with raw(running.path) as connection:
        connection.writer.write(frame(encode(Status(id=1)))[:-2])


# --- clients that are a burden -------------------------------------------------------------------


async def test_two_clients_get_their_own_answers(running: Service, client: GpuClient) -> None:
    async with connected(running.path) as other:
        first, second = running.uuids[:2]
        results = await asyncio.gather(
            *(client.scan(FAST, (first,)) for _ in range(20)),
            *(other.scan(FAST, (second,)) for _ in range(20)),
        )
    assert [each.gpus[0].uuid for each in results] == [first] * 20 + [second] * 20


async def test_a_client_that_does_not_read_is_cut_off_and_others_are_served(
    running: Service, client: GpuClient
) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(running.path))
        deaf.sendall(frame(encode(Hello(VERSION))))
        ask = b"".join(frame(encode(Scan(id=n, tiers=ALL))) for n in range(1, 33))
        deaf.setblocking(False)
        cut_off = False
        async with asyncio.timeout(20):
            while not cut_off:
                assert len((await client.scan(FAST)).gpus) == 4
                try:
                    deaf.send(ask)
                except BlockingIOError:
                    await asyncio.sleep(0.01)
                except OSError:
                    cut_off = True
    assert "leaves its answers unread" in running.log.read_text()
    assert UNREAD_BYTES < 8 * 1024 * 1024


async def test_more_clients_than_there_may_be(running: Service) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(CLIENTS_MOST):
            await stack.enter_async_context(raw(running.path))
        async with raw(running.path, hello=False) as late:
            await refused(late, f"{CLIENTS_MOST} clients")
            assert await late.hear() is None


async def test_a_client_that_hangs_up_takes_its_waiting_requests_along(
    running: Service, client: GpuClient
) -> None:
    with running.fake.slow(0.02, "nvmlDeviceGetUtilizationRates"):
        async with raw(running.path) as connection:
            for number in range(1, 200):
                connection.writer.write(frame(encode(Scan(id=number, tiers=FAST))))
            await asyncio.sleep(0.05)
        async with asyncio.timeout(4):
            while (await client.status()).waiting:
                await asyncio.sleep(0.02)


# --- who may -------------------------------------------------------------------------------------

STRANGER = """
import asyncio, os, sys
from pathlib import Path
from drivers.gpu.client import GpuClient
os.setgroups([])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[2]))
async def main():
    client = GpuClient(Path(sys.argv[1]), wait=lambda _: 60.0)
    task = asyncio.create_task(client.run())
    while client.problem is not None and "not connected yet" in str(client.problem):
        await asyncio.sleep(0.01)
    print(type(client.problem).__name__ if client.problem else "served")
    task.cancel()
asyncio.run(main())
"""


def speaks_as(uid: int, gid: int, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", STRANGER, str(path), str(uid), str(gid)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can speak as somebody else")
def test_only_those_who_may_are_served(tmp_path: Path, fake: FakeGpus) -> None:
    with (
        tempfile.TemporaryDirectory() as place,  # pytest's own lets nobody else in
        service(Path(place), fake, "--user", "4711", "--group", "4712") as running,
    ):
        Path(place).chmod(0o755)
        asyncio.run(_up(running.path))
        assert speaks_as(65534, 65534, running.path) == AccessDenied.__name__
        assert speaks_as(4711, 65534, running.path) == "served"
        assert speaks_as(65534, 4712, running.path) == "served"


async def _up(path: Path) -> None:
    async with connected(path) as client:
        await client.status()


# --- our own client ------------------------------------------------------------------------------


async def test_the_client_connects_anew_and_misses_no_event(tmp_path: Path) -> None:
    heard = Heard()
    with fake_gpus(tmp_path) as fake, service(tmp_path, fake) as running:
        async with connected(running.path, heard) as client:
            await client.inventory()
            fake[0].xid(13)
            await heard.until(EventKind.XID)
            client._writer.transport.abort()  # type: ignore[union-attr]
            fake[0].xid(31)
            fake[1].xid(13)
            xids = await heard.until(EventKind.XID, 3)
        assert [each.xid for each in xids] == [13, 31, 13]
        assert client.missed == 0
        assert [each.seq for each in heard.events] == list(range(1, len(heard.events) + 1))


async def test_the_client_says_why_there_is_no_connection(tmp_path: Path) -> None:
    client = GpuClient(tmp_path / "nobody", wait=lambda _: 0.01)
    with pytest.raises(Unreachable):
        await client.scan((Tier.FAST,))
    task = asyncio.create_task(client.run())
    await asyncio.sleep(0.1)
    with pytest.raises(Unreachable, match="No such file"):
        await client.status()
    task.cancel()


async def test_what_was_asked_fails_when_the_connection_breaks(
    running: Service, client: GpuClient
) -> None:
    with running.fake.slow(0.2, "nvmlDeviceGetUtilizationRates"):
        scan = asyncio.create_task(client.scan(FAST))
        await asyncio.sleep(0.05)
        client._writer.transport.abort()  # type: ignore[union-attr]
        with pytest.raises(Unreachable, match="broke"):
            await scan


async def test_a_server_that_never_answers(tmp_path: Path) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(encode(Welcome(VERSION, "e", 0))))
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(mute, tmp_path / "mute")
    try:
        async with connected(tmp_path / "mute") as client:
            with pytest.raises(DeviceTimeout):
                await client.scan((Tier.FAST,), within_s=0.1)
    finally:
        server.close()


@pytest.mark.parametrize(
    "said", [b"\x00\x00\x00\x02\xc1\xc1", struct.pack("!I", ANSWER_LIMIT_BYTES + 1), b"HTTP/1.1"]
)
async def test_a_server_that_speaks_something_else(tmp_path: Path, said: bytes) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(other, tmp_path / "other")
    client = GpuClient(tmp_path / "other", wait=lambda _: 0.01)
    task = asyncio.create_task(client.run())
    try:
        await asyncio.sleep(0.2)
        with pytest.raises(Unreachable):
            await client.status()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()


def test_causes_and_classes_fit() -> None:
    from drivers.gpu.errors import CLASSES, cause_of, error_of

    assert set(CLASSES) == set(Cause)
    for cause in Cause:
        error = error_of(cause, "words")
        assert "words" in str(error)
        assert cause_of(error) is cause or cause is Cause.BUSY
