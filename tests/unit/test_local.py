"""The control socket, over a real one."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.local import client, server
from agent.local.protocol import LINE_LIMIT_BYTES, Request
from agent.local.server import ControlServer, Watchers
from drivers.errors import DeviceTimeout
from tests.fakes import kept


class Desk:
    """A control server with something to show."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.watchers = Watchers()
        self.requests: list[Request] = []
        self.error: Exception | None = None
        self.server = ControlServer(path, lambda: b'{"devices":3}', self.read, self.watchers)

    async def read(self, request: Request) -> bytes:
        self.requests.append(request)
        if self.error:
            raise self.error
        return b'{"reading":{"address":"%b"}}' % str(request.address).encode()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with kept(self.server.run()) as task:
            while not (self.path.exists() and self._mode() == server.SOCKET_MODE):
                assert not task.done() or task.result()
                await asyncio.sleep(0.001)
            yield

    def _mode(self) -> int:
        return stat.S_IMODE(self.path.stat().st_mode)

    async def say(self, *pieces: bytes) -> dict[str, object]:
        """Send raw bytes; the first line of the answer."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            writer.writelines(pieces)
            async with asyncio.timeout(5):
                return json.loads(await reader.readline())
        finally:
            writer.close()
            await writer.wait_closed()

    async def ask(self, **request: object) -> object:
        return await asyncio.to_thread(client.ask, self.path, **request)


@pytest.fixture
async def desk(tmp_path) -> Desk:
    return Desk(tmp_path / "run" / "control.sock")


async def test_status(desk):
    async with desk.open():
        assert await desk.ask(op="status") == {"devices": 3}
        assert await desk.ask(op="status") == {"devices": 3}


async def test_read(desk):
    async with desk.open():
        found = await desk.ask(
            op="read", address="10.0.0.1", ports={"rpc_port": 14028}, driver="antminer"
        )
        assert found == {"reading": {"address": "10.0.0.1"}}
        assert desk.requests == [Request("read", "10.0.0.1", {"rpc_port": 14028}, "antminer")]


async def test_what_a_device_says_reaches_the_person(desk):
    desk.error = DeviceTimeout("no answer in 5 s")
    async with desk.open():
        with pytest.raises(AgentError, match=r"^DeviceTimeout: no answer in 5 s$"):
            await desk.ask(op="read", address="10.0.0.1")


async def test_a_fault_of_ours_is_answered_and_logged(desk, caplog):
    desk.error = KeyError("no such driver")
    async with desk.open():
        with pytest.raises(AgentError, match="internal error"):
            await desk.ask(op="read", address="10.0.0.1")
        assert "no such driver" in caplog.text
        assert await desk.ask(op="status") == {"devices": 3}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"\xff\xfe\n", "not a request"),
        (b"GET / HTTP/1.1\r\n", "not a request"),
        (b"[]\n", "Expected `object`"),
        (b'{"op":"reboot"}\n', "Invalid enum value 'reboot'"),
        (b'{"op":"status","colour":1}\n', "unknown field `colour`"),
        (b'{"op":"read"}\n', "read needs an address"),
        (b"{" * 10_000 + b"\n", "not a request"),
        (b"x" * (LINE_LIMIT_BYTES + 1) + b"\n", f"a line of over {LINE_LIMIT_BYTES} bytes"),
    ],
    ids=["bytes", "http", "list", "op", "field", "address", "nested", "long"],
)
async def test_a_bad_line_gets_a_clear_error_and_costs_nobody_else(desk, line, words):
    async with desk.open():
        assert words in (await desk.say(line))["error"]
        assert await desk.ask(op="status") == {"devices": 3}


async def test_a_request_in_pieces_and_one_without_an_end_of_line(desk):
    async with desk.open():
        reader, writer = await asyncio.open_unix_connection(desk.path)
        for byte in b'{"op":"status"}':
            writer.write(bytes((byte,)))
            await writer.drain()
        writer.write_eof()
        assert json.loads(await reader.readline()) == {"ok": {"devices": 3}}
        writer.close()


async def test_who_says_nothing_is_dismissed(desk, monkeypatch):
    monkeypatch.setattr(server, "IDLE_S", 0.02)
    async with desk.open():
        reader, writer = await asyncio.open_unix_connection(desk.path)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_every_watcher_sees_every_reading(desk):
    async with desk.open():
        found: list[list[dict[str, int]]] = [[], []]

        def follow(into: list[dict[str, int]]) -> None:
            for reading in client.follow(desk.path):
                into.append(reading)
                if len(into) == 3:
                    return

        threads = [threading.Thread(target=follow, args=(into,)) for into in found]
        for thread in threads:
            thread.start()
        await until(lambda: len(desk.watchers._queues) == 2)
        for number in range(3):
            desk.watchers.show(b'{"n":%d}' % number)
        for thread in threads:
            await asyncio.to_thread(thread.join, 5)
        assert found == [[{"n": 0}, {"n": 1}, {"n": 2}]] * 2
        desk.watchers.show(b"{}")  # by which it shows that they left
        desk.watchers.show(b"{}")


async def test_a_watcher_that_does_not_read_is_bounded_and_dropped(desk, monkeypatch):
    monkeypatch.setattr(server, "WATCH_QUEUE", 50)
    monkeypatch.setattr(server, "SEND_S", 0.2)
    async with desk.open():
        sock = await watching(desk)
        try:
            for number in range(2000):
                desk.watchers.show(b'{"n":%d,"fill":"%b"}' % (number, b"x" * 10_000))
                if number % 50 == 0:
                    await asyncio.sleep(0)
                assert all(len(queue) <= 50 for queue in desk.watchers._queues.values())
            await until(lambda: not desk.watchers._queues)
            await until(lambda: not desk.server._clients)
            # The connection is cut too: what was written for it is not kept for ever.
            with pytest.raises(OSError, match=r"Broken pipe|reset"):
                await until(lambda: sock.send(b"x") == 0)
        finally:
            sock.close()
        assert await desk.ask(op="status") == {"devices": 3}


async def test_stopping_does_not_wait_for_watchers_and_leaves_no_file(desk):
    async with desk.open():
        sock = await watching(desk)
    assert not desk.path.exists()
    assert await asyncio.to_thread(sock.recv, 1) == b""
    sock.close()
    with pytest.raises(client.NoAgent, match=str(desk.path)):
        await desk.ask(op="status")


async def test_only_owner_and_group_may_speak(desk):
    async with desk.open():
        assert stat.S_IMODE(desk.path.stat().st_mode) == 0o660


async def test_a_second_agent_refuses_to_start_and_the_first_goes_on(desk):
    async with desk.open():
        with pytest.raises(AgentError, match="another agent is running"):
            await Desk(desk.path).server.run()
        assert await desk.ask(op="status") == {"devices": 3}


async def test_the_socket_of_an_agent_that_died_is_taken_over(desk):
    desk.path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(desk.path))
    async with desk.open():
        assert await desk.ask(op="status") == {"devices": 3}


async def test_a_file_in_the_way_is_refused_and_kept(desk):
    desk.path.parent.mkdir()
    desk.path.write_text("precious")
    with pytest.raises(AgentError, match="something else stands there"):
        await desk.server.run()
    assert desk.path.read_text() == "precious"


async def test_a_path_that_is_too_long_is_named(tmp_path):
    desk = Desk(tmp_path / ("x" * 120))
    with pytest.raises(AgentError, match="control socket"):
        await desk.server.run()


async def watching(desk: Desk) -> socket.socket:
    """A watcher that asked and does not read."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(desk.path))
    sock.sendall(b'{"op":"watch"}\n')
    try:
        await until(lambda: len(desk.watchers._queues) == 1)
    except TimeoutError:
        sock.close()
        raise
    return sock


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)
