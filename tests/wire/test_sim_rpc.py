"""The simulated site's RPC port over real loopback sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.sim import Answered, Pace, SimServer, Site

NETWORK = "127.62.0.0/16"
STOCK, S9, CLASSIC = "Antminer S19", "Antminer S9", "CoinTerra TerraMiner"
FIRST = "127.62.0.1"


async def exchange(address: str, port: int, *pieces: bytes) -> bytes:
    """Send, read to the end; ConnectionResetError where the other side resets."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.read()
    finally:
        writer.close()


async def read_some(address: str, port: int, request: bytes) -> tuple[bytes, bool]:
    """What came before the end, and whether the end was a reset."""
    reader, writer = await asyncio.open_connection(address, port)
    got = b""
    try:
        writer.write(request)
        while piece := await reader.read(65_536):
            got += piece
    except ConnectionResetError:
        return got, True
    else:
        return got, False
    finally:
        writer.close()


def request(command: str) -> bytes:
    return json.dumps({"command": command}).encode()


@asynccontextmanager
async def serving(
    model: str = STOCK, count: int = 3, pace: Pace | None = None, **more: object
) -> AsyncIterator[tuple[SimServer, list[Answered]]]:
    seen: list[Answered] = []
    site = Site(5, NETWORK, count, mix={model: 1})
    pace = pace or Pace(delay_scale=0)
    async with SimServer(
        site, rpc_port=0, web_port=0, pace=pace, observer=seen.append, **more
    ) as server:
        yield server, seen


async def wait_for(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_each_address_is_its_own_machine() -> None:
    async with serving(count=20) as (server, _):
        addresses = list(server.site.addresses())
        answers = await asyncio.gather(
            *(exchange(a, server.rpc_port, request("stats")) for a in addresses)
        )
        ids = {json.loads(a[:-1])["STATS"][1]["miner_id"] for a in answers}
        assert len(ids) == 20


async def test_an_address_without_machine_resets() -> None:
    async with serving() as (server, seen):
        for port in (server.rpc_port, server.web_port):
            with pytest.raises(ConnectionResetError):
                await exchange("127.62.0.4", port, request("version"))
        assert seen == []


async def test_a_request_in_two_pieces_is_bad_json() -> None:
    async with serving() as (server, _):
        reader, writer = await asyncio.open_connection(FIRST, server.rpc_port)
        writer.write(b'{"command":')
        answer = await reader.read()
        writer.close()
        assert json.loads(answer[:-1])["STATUS"][0]["Code"] == 23


async def test_text_and_joined_over_the_wire() -> None:
    async with serving(CLASSIC) as (server, _):
        text = await exchange(FIRST, server.rpc_port, b"summary")
        assert text.startswith(b"STATUS=S,When=")
        joined = await exchange(FIRST, server.rpc_port, request("summary+devs+pools"))
        assert list(json.loads(joined[:-1])) == ["summary", "devs", "pools", "id"]


async def test_thinking_takes_time_and_closing_the_server_ends_it() -> None:
    async with serving(pace=Pace(delay_scale=10_000)) as (server, seen):
        reader, writer = await asyncio.open_connection(FIRST, server.rpc_port)
        writer.write(request("version"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.read(1)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert seen == []


async def test_realistic_delay() -> None:
    async with serving(pace=Pace(delay_scale=1)) as (server, _):
        machine = server.site.at(FIRST)
        assert machine is not None
        loop = asyncio.get_running_loop()
        began = loop.time()
        await exchange(FIRST, server.rpc_port, request("version"))
        assert loop.time() - began >= machine.delay_s > 0.015


async def test_silent_clients_are_dropped() -> None:
    async with serving(pace=Pace(delay_scale=0, idle_s=0.05, sweep_s=0.02)) as (server, _):
        reader, writer = await asyncio.open_connection(FIRST, server.rpc_port)
        assert await reader.read() == b""
        writer.close()


async def test_a_large_answer_to_a_slow_reader_is_whole() -> None:
    async with serving() as (server, seen):
        big = b"x" * 8_000_000 + b"\0"
        rpc = server._rpc
        assert rpc is not None
        reply = rpc.respond(server.site.at(FIRST), request("version"), 0.0)
        rpc.respond = lambda *_: type(reply)(big, "version")
        reader, writer = await asyncio.open_connection(FIRST, server.rpc_port)
        writer.write(request("version"))
        await asyncio.sleep(0.05)
        assert seen == []
        assert await reader.read() == big
        writer.close()
        assert [answered.complete for answered in seen] == [True]


async def test_a_thousand_clients_at_once() -> None:
    async with serving(count=1000) as (server, seen):
        answers = await asyncio.gather(
            *(exchange(a, server.rpc_port, request("summary")) for a in server.site.addresses())
        )
        assert all(answer.endswith(b"\0") for answer in answers)
        assert len({answered.ghs for answered in seen}) > 950


async def test_replay_repeats_itself() -> None:
    async with serving(replay=True) as (server, seen):
        first = await exchange(FIRST, server.rpc_port, request("stats"))
        again = await exchange("127.62.0.2", server.rpc_port, request("stats"))
        assert first == again
        assert seen[0].ghs == seen[1].ghs is not None


@pytest.mark.parametrize("what", ["reboot", "swap", "move"])
async def test_what_happens_to_machines_shows_on_the_wire(what: str) -> None:
    async def stats(address: str, port: int) -> dict:
        answer = await exchange(address, port, request("stats"))
        return json.loads(answer[:-1])["STATS"][1]

    async with serving() as (server, _):
        before = await stats(FIRST, server.rpc_port)
        change: Callable[[str], object] = {
            "reboot": server.site.reboot,
            "swap": server.site.swap,
            "move": lambda address: server.site.move(address, "127.62.7.7"),
        }[what]
        change(FIRST)
        after = await stats("127.62.7.7" if what == "move" else FIRST, server.rpc_port)
        assert (after["miner_id"] == before["miner_id"]) == (what != "swap")
        assert (after["Elapsed"] >= before["Elapsed"]) == (what == "move")
        if what == "move":
            with pytest.raises(ConnectionResetError):
                await stats(FIRST, server.rpc_port)


# --- faults ------------------------------------------------------------------------------


async def test_refuse() -> None:
    async with serving() as (server, seen):
        server.faults.set("refuse", address=FIRST)
        with pytest.raises(ConnectionResetError):
            await exchange(FIRST, server.rpc_port, request("version"))
        assert [(a.fault, a.complete) for a in seen] == [("refuse", False)]
        assert await exchange("127.62.0.2", server.rpc_port, request("version"))
        server.faults.clear(FIRST)
        assert await exchange(FIRST, server.rpc_port, request("version"))
        assert seen[-1].fault is None


async def test_tarpit_is_released_after_its_bound() -> None:
    pace = Pace(delay_scale=0, tarpit_s=0.1, sweep_s=0.02)
    async with serving(pace=pace) as (server, seen):
        server.faults.set("tarpit", address=FIRST)
        got, _ = await read_some(FIRST, server.rpc_port, request("version"))
        assert got == b""
        assert [(a.fault, a.complete) for a in seen] == [("tarpit", False)]


async def test_tarpit_notices_that_the_client_has_gone() -> None:
    async with serving() as (server, seen):
        server.faults.set("tarpit")
        _, writer = await asyncio.open_connection(FIRST, server.rpc_port)
        writer.write(request("version"))
        writer.close()
        await wait_for(lambda: len(seen) == 1)


async def test_drip() -> None:
    pace = Pace(delay_scale=0, drip_s=0)
    async with serving(pace=pace) as (server, seen):
        server.faults.set("drip", address=FIRST)
        got, broken = await read_some(FIRST, server.rpc_port, request("version"))
        assert json.loads(got[:-1])["VERSION"]
        assert not broken
        assert [(a.fault, a.complete) for a in seen] == [("drip", True)]


async def test_drip_gives_up() -> None:
    pace = Pace(delay_scale=0, drip_s=0.02, tarpit_s=0.1)
    async with serving(pace=pace) as (server, seen):
        server.faults.set("drip", address=FIRST)
        got, _ = await read_some(FIRST, server.rpc_port, request("version"))
        assert 2 < len(got) < 30
        assert not seen[0].complete


async def test_reset_in_mid_answer() -> None:
    async with serving() as (server, seen):
        server.faults.set("reset", address=FIRST)
        got, broken = await read_some(FIRST, server.rpc_port, request("stats"))
        assert broken
        assert b"\0" not in got
        assert not seen[0].complete


@pytest.mark.parametrize(
    ("name", "complete", "malformed"),
    [
        ("missing-nul", True, True),
        ("glued", True, True),
        ("bad-utf8", True, True),
        ("truncated", False, True),
        ("garbage", False, False),
        ("http", False, False),
    ],
)
async def test_spoilt_answers(name: str, complete: bool, malformed: bool) -> None:
    async with serving() as (server, seen):
        whole = await exchange(FIRST, server.rpc_port, request("stats"))
        server.faults.set(name, address=FIRST)
        spoilt = await exchange(FIRST, server.rpc_port, request("stats"))
        assert spoilt != whole
        assert (seen[1].fault, seen[1].complete, seen[1].malformed) == (name, complete, malformed)
        assert (seen[0].fault, seen[0].complete, seen[0].malformed) == (None, True, False)
        {
            "missing-nul": lambda: json.loads(spoilt),
            "glued": lambda: json.loads(spoilt[:-1].replace(b"}{", b"},{")),
            "bad-utf8": lambda: spoilt.index(b"\xff\xfe"),
            "truncated": lambda: len(spoilt) < len(whole) or pytest.fail("not cut"),
            "garbage": lambda: b"STATUS" not in spoilt or pytest.fail("an answer"),
            "http": lambda: spoilt.index(b"HTTP/1.1 400"),
        }[name]()


async def test_stale() -> None:
    async with serving() as (server, seen):
        server.faults.set("stale", address=FIRST)
        answers = [await exchange(FIRST, server.rpc_port, request("stats")) for _ in range(3)]
        assert len(set(answers)) == 1
        assert {a.fault for a in seen} == {"stale"}


async def test_a_rate_strikes_sometimes() -> None:
    async with serving(count=200) as (server, seen):
        server.faults.set("truncated", rate=0.3)
        for address in server.site.addresses():
            await exchange(address, server.rpc_port, request("version"))
        struck = sum(a.fault == "truncated" for a in seen)
        assert 30 < struck < 90


# --- the log -----------------------------------------------------------------------------


async def test_the_log_has_every_answer(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    async with serving(count=40, log=path) as (server, _):

        async def ask(address: str) -> float:
            answer = await exchange(address, server.rpc_port, request("summary"))
            return json.loads(answer[:-1])["SUMMARY"][0]["GHS 5s"]

        heard = await asyncio.gather(*map(ask, server.site.addresses()))
        server.flush_log()
        assert len(path.read_text().splitlines()) == 40
        port = server.rpc_port
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(line["ghs"] for line in lines) == sorted(heard)
    assert {(line["port"], line["command"], line["complete"]) for line in lines} == {
        (port, "summary", True)
    }
    assert list(lines[0]) == [
        "t", "address", "port", "command", "complete", "fault", "malformed", "ghs", "elapsed",
    ]  # fmt: skip


async def test_the_log_is_flushed_unasked(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    async with serving(log=path) as (server, _):
        await exchange(FIRST, server.rpc_port, request("version"))
        await wait_for(lambda: path.stat().st_size > 0)


async def test_a_taken_port_is_a_plain_error() -> None:
    async with serving() as (server, _):
        site = Site(1, NETWORK, 1)
        for ports in ((server.rpc_port, 0), (0, server.web_port)):
            with pytest.raises(Exception, match="cannot listen on port"):
                await SimServer(site, rpc_port=ports[0], web_port=ports[1]).__aenter__()


async def test_only_loopback_is_served() -> None:
    async with serving() as (server, _):
        rpc = server._rpc
        assert rpc is not None
        device = rpc._listener.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        assert device.rstrip(b"\0") == b"lo"
