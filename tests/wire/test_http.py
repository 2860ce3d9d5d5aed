"""The HTTP client against servers that are good, slow, large and no servers at all."""

import asyncio
import gzip
import resource
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from drivers.api import Credential
from drivers.errors import BadReply, DeviceTimeout, NoResources, Unreachable
from drivers.sim import Pace, SimServer, Site
from drivers.wire.http import HttpPool

HOST = "127.65.0.1"
ROOT = Credential("root", "root")


@asynccontextmanager
async def serving(*pieces: bytes, hold: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers every request with these bytes; gives its URL and the requests."""
    requests: list[bytes] = []
    tasks: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            if hold:
                await reader.read()
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}/page?x=1", requests
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_page() -> None:
    async with serving(reply(b'{"a":1}', "X-Kind: S19")) as (url, requests), HttpPool() as pool:
        page = await pool.request("GET", url, deadline_s=2)
    assert (page.status, page.body, page.headers["x-kind"]) == (200, b'{"a":1}', "S19")
    assert requests[0].startswith(b"GET /page?x=1 HTTP/1.1\r\n")
    assert b"authorization" not in requests[0].lower()


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "401 Who"])
async def test_any_status_is_an_answer(status: str) -> None:
    async with serving(reply(b"", status=status)) as (url, _), HttpPool() as pool:
        assert (await pool.request("GET", url, deadline_s=2)).status == int(status[:3])


async def test_a_redirect_is_not_followed() -> None:
    async with serving(reply(b"", "Location: http://127.65.0.2:1/", status="302 Found")) as (
        url,
        requests,
    ):
        async with HttpPool() as pool:
            page = await pool.request("GET", url, deadline_s=2)
        assert (page.status, page.headers["location"]) == (302, "http://127.65.0.2:1/")
        assert len(requests) == 1


@pytest.mark.parametrize(
    "pieces",
    [
        (b"\x00\x01\x02 garbage\r\n\r\n",),
        (b"STATUS=E,When=1|\r\n\r\n",),
        (b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",),
    ],
)
async def test_what_is_no_http_is_a_bad_reply(pieces: tuple[bytes, ...]) -> None:
    async with serving(*pieces) as (url, _), HttpPool() as pool:
        with pytest.raises(BadReply) as caught:
            await pool.request("GET", url, deadline_s=2)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "challenge",
    ['realm="x"', 'realm="x", nonce="n", qop="odd"', 'realm="x", nonce="n", algorithm=FOO'],
)
async def test_a_challenge_that_nobody_understands(challenge: str) -> None:
    asks = reply(b"", f"WWW-Authenticate: Digest {challenge}", status="401 Unauthorized")
    async with serving(asks) as (url, _), HttpPool() as pool:
        with pytest.raises(BadReply):
            await pool.request("GET", url, deadline_s=2, login=pool.digest(ROOT))


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",)])
async def test_a_connection_that_breaks_is_unreachable(pieces: tuple[bytes, ...]) -> None:
    async with serving(*pieces) as (url, _), HttpPool() as pool:
        with pytest.raises(Unreachable):
            await pool.request("GET", url, deadline_s=2)


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE", "GET"])
async def test_an_order_leaves_once(method: str) -> None:
    headers = {"Connection": "close"} if method == "GET" else {}
    async with HttpPool() as pool, serving() as (url, requests):
        with pytest.raises(Unreachable) as caught:
            await pool.request(method, url, deadline_s=2.0, headers=headers)
    assert caught.value.sent
    assert len(requests) == 1


async def test_nobody_listens() -> None:
    with socket.create_server((HOST, 0)) as sock:
        port = sock.getsockname()[1]
    async with HttpPool() as pool:
        with pytest.raises(Unreachable):
            await pool.request("GET", f"http://{HOST}:{port}/", deadline_s=2)


@pytest.mark.parametrize(
    "pieces", [(), (b"HTTP/1.1 200 OK\r\n",), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",)]
)
async def test_a_tarpit_meets_the_deadline(pieces: tuple[bytes, ...]) -> None:
    async with serving(*pieces, hold=True) as (url, _), HttpPool() as pool:
        began = time.monotonic()
        with pytest.raises(DeviceTimeout, match="no whole answer within"):
            await pool.request("GET", url, deadline_s=0.2)
        assert time.monotonic() - began < 0.5


async def test_a_page_over_the_limit_is_cut_short() -> None:
    endless = (b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 600] * 3)
    async with serving(*endless, hold=True) as (url, _), HttpPool() as pool:
        with pytest.raises(BadReply, match="over 1000 bytes"):
            await pool.request("GET", url, deadline_s=2, limit_bytes=1000)
    async with serving(reply(b"x" * 1000)) as (url, _), HttpPool() as pool:
        assert len((await pool.request("GET", url, deadline_s=2, limit_bytes=1000)).body) == 1000


async def test_a_compressed_page_is_not_unfolded() -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    async with serving(reply(bomb, "Content-Encoding: gzip")) as (url, _), HttpPool() as pool:
        page = await pool.request("GET", url, deadline_s=2, limit_bytes=20_000)
        assert page.body == bomb


async def test_without_descriptors_the_device_is_not_blamed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[socket.socket] = []
    async with HttpPool() as pool:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
            with suppress(OSError):
                held.extend(socket.socket() for _ in range(128))
            with pytest.raises(NoResources):
                await pool.request("GET", f"http://{HOST}:1/", deadline_s=2)
        finally:
            for sock in held:
                sock.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_the_source_address_is_used() -> None:
    peers: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(b"ok"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server, HttpPool(source_address="127.65.9.9") as pool:
        port = server.sockets[0].getsockname()[1]
        await pool.request("GET", f"http://{HOST}:{port}/", deadline_s=2)
    assert peers == ["127.65.9.9"]


@pytest.mark.parametrize(
    ("credential", "status"),
    [
        (ROOT, 200),
        (Credential("root", "wrong"), 401),
        (Credential("admin", "root"), 401),
        (None, 401),
    ],
)
async def test_digest(credential: Credential | None, status: int) -> None:
    site = Site(5, "127.65.0.0/16", 1, mix={"Antminer S19": 1})
    pace = Pace(delay_scale=0)
    async with SimServer(site, rpc_port=0, web_port=0, pace=pace) as server, HttpPool() as pool:
        url = f"http://{HOST}:{server.web_port}/cgi-bin/get_system_info.cgi"
        for _ in range(2):
            page = await pool.request(
                "GET", url, deadline_s=2, login=pool.digest(credential) if credential else None
            )
            assert page.status == status
        machine = site.at(HOST)
        assert machine
        assert (machine.mac.encode() in page.body) is (status == 200)
