"""The simulated Antminers' web pages over real loopback sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sim import Answered, Pace, SimServer, Site
from drivers.sim.digest import DigestGate
from drivers.sim.web import parse_head

NETWORK = "127.63.0.0/16"
FIRST = "127.63.0.1"
PAGES = (
    "get_system_info",
    "summary",
    "stats",
    "pools",
    "get_miner_conf",
    "get_network_info",
    "get_blink_status",
    "miner_type",
)


@asynccontextmanager
async def serving(
    model: str = "Antminer S21", pace: Pace | None = None
) -> AsyncIterator[tuple[SimServer, list[Answered]]]:
    seen: list[Answered] = []
    site = Site(5, NETWORK, 3, mix={model: 1})
    pace = pace or Pace(delay_scale=0)
    async with SimServer(site, rpc_port=0, web_port=0, pace=pace, observer=seen.append) as server:
        yield server, seen


def session(password: str = "root") -> aiohttp.ClientSession:
    digest = aiohttp.DigestAuthMiddleware("root", password)
    return aiohttp.ClientSession(middlewares=(digest,))


async def raw(port: int, data: bytes, address: str = FIRST) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(data)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_the_front_door_names_the_make() -> None:
    async with serving() as (server, _):
        answer = await raw(server.web_port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        assert b'WWW-Authenticate: Digest realm="antMiner", nonce="' in head
        assert b'qop="auth"' in head
        assert b"401" in body


@pytest.mark.parametrize("page", PAGES)
async def test_pages(page: str) -> None:
    async with serving() as (server, _), session() as web:
        url = f"http://{FIRST}:{server.web_port}/cgi-bin/{page}.cgi"
        async with web.get(url) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/json"
            assert isinstance(await answer.json(), dict)


async def test_system_info_tells_who_it_is() -> None:
    async with serving() as (server, _), session() as web:
        url = f"http://{FIRST}:{server.web_port}/cgi-bin/get_system_info.cgi"
        info = await (await web.get(url)).json()
        machine = server.site.at(FIRST)
        assert machine is not None
        assert list(info) == [
            "minertype", "nettype", "netdevice", "macaddr", "hostname", "ipaddress", "netmask",
            "gateway", "dnsservers", "system_mode", "system_kernel_version",
            "system_filesystem_version", "firmware_type", "serinum",
        ]  # fmt: skip
        assert info["macaddr"] == machine.mac
        assert info["serinum"] == machine.serial
        assert info["minertype"] == "Antminer S21"
        assert info["ipaddress"] == FIRST
        server.site.swap(FIRST)
        assert (await (await web.get(url)).json())["macaddr"] != machine.mac


async def test_stats_agree_with_the_boards() -> None:
    async with serving() as (server, seen), session() as web:
        url = f"http://{FIRST}:{server.web_port}/cgi-bin/stats.cgi"
        stats = (await (await web.get(url)).json())["STATS"][0]
        assert sum(chain["rate_real"] for chain in stats["chain"]) == pytest.approx(
            stats["rate_5s"], rel=1e-4
        )
        assert [chain["asic_num"] for chain in stats["chain"]] == [108, 108, 108]
        assert seen[-1].ghs == stats["rate_5s"]
        assert (seen[-1].port, seen[-1].command) == (server.web_port, "/cgi-bin/stats.cgi")


async def test_log_and_unknown_pages() -> None:
    async with serving() as (server, _), session() as web:
        base = f"http://{FIRST}:{server.web_port}"
        assert "asics found" in await (await web.get(f"{base}/cgi-bin/log.cgi")).text()
        assert (await web.get(f"{base}/")).status == 200
        for name in ("upgrade", "passwd", "nonsense"):
            async with web.post(f"{base}/cgi-bin/{name}.cgi", data=b"{}") as answer:
                assert answer.status == 404


async def test_a_wrong_password_stays_outside() -> None:
    async with serving() as (server, _), session("admin") as web:
        url = f"http://{FIRST}:{server.web_port}/cgi-bin/summary.cgi"
        async with web.get(url) as answer:
            assert answer.status == 401
        machine = server.site.at(FIRST)
        assert machine is not None
        machine.credential = ("root", "admin")
        async with web.get(url) as answer:
            assert answer.status == 200


async def test_one_connection_carries_many_requests() -> None:
    async with serving() as (server, _):
        pipelined = b"GET / HTTP/1.1\r\n\r\n" * 3 + b"HEAD / HTTP/1.0\r\n\r\n"
        answer = await raw(server.web_port, pipelined)
        assert answer.count(b"HTTP/1.1 401") == 4
        assert answer.count(b"<h1>") == 3


async def test_a_body_may_come_in_pieces() -> None:
    async with serving() as (server, _):
        reader, writer = await asyncio.open_connection(FIRST, server.web_port)
        writer.write(b"POST /x HTTP/1.1\r\nContent-Length: 4\r\nConnection: close\r\n\r\nab")
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(b"cd")
        assert (await reader.read()).startswith(b"HTTP/1.1 401")
        writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, b"431"),
        (b"BREW / HTTP/1.1\r\nConnection: close\r\n\r\n", b"501"),
    ],
)
async def test_garbage(data: bytes, status: bytes) -> None:
    async with serving() as (server, _):
        assert (await raw(server.web_port, data)).startswith(b"HTTP/1.1 " + status)


async def test_idle_connections_are_dropped() -> None:
    async with serving(pace=Pace(delay_scale=0, idle_s=0.05)) as (server, _):
        assert await raw(server.web_port, b"GET / HT") == b""


async def test_others_have_no_web_server() -> None:
    async with serving("CoinTerra TerraMiner") as (server, _):
        with pytest.raises(ConnectionResetError):
            await raw(server.web_port, b"GET / HTTP/1.1\r\n\r\n")


async def test_pages_take_their_time() -> None:
    async with serving(pace=Pace(delay_scale=1)) as (server, _), session() as web:
        url = f"http://{FIRST}:{server.web_port}/cgi-bin/summary.cgi"
        assert (await web.get(url)).status == 200


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_none(data: bytes) -> None:
    parse_head(data)


@given(st.text(max_size=100))
def test_any_authorization_is_judged(header: str) -> None:
    gate = DigestGate(b"secret", lambda: 1e9)
    assert gate.judge(header, "GET", "/", ("root", "root"), "antMiner") is not None
    assert gate.judge(f"Digest {header}", "GET", "/", ("root", "root"), "antMiner") is not None


async def test_an_old_nonce_is_stale() -> None:
    moment = [1e9]
    site = Site(5, NETWORK, 1, mix={"Antminer S21": 1}, clock=lambda: moment[0])
    async with SimServer(site, rpc_port=0, web_port=0, pace=Pace(delay_scale=0)) as server:
        url = f"http://{FIRST}:{server.web_port}/cgi-bin/get_blink_status.cgi"
        async with session() as web:
            assert json.loads(await (await web.get(url)).text()) == {"blink": False}
            moment[0] += 3600
            assert (await web.get(url)).status == 200
