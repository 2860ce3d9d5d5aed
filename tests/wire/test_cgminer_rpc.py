"""How several commands are asked of one device: joined or singly, within one deadline."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from drivers.api import Endpoint
from drivers.errors import (
    AccessDenied,
    BadReply,
    DeviceTimeout,
    NoResources,
    Refused,
    Unreachable,
    Unsupported,
    WrongProtocol,
)
from drivers.sim import Pace, SimServer, Site
from drivers.wire.cgminer import CgminerRpc
from drivers.wire.exchange import SocketWire

COMMANDS = ("summary", "devs", "pools")
FIRST = "127.64.0.1"


class StillClock:
    """Moves only when a test says so."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class ScriptedWire:
    """Answers each command as scripted, takes time, and keeps what was asked."""

    def __init__(self, clock: StillClock, script: dict[str, Any], takes_s: float = 0.0) -> None:
        self.asked: list[str] = []
        self.deadlines: list[float] = []
        self._clock = clock
        self.script = script
        self._takes_s = takes_s

    async def exchange(
        self, address: str, port: int, request: bytes, *, deadline_s: float, limit_bytes: int
    ) -> bytes:
        command = json.loads(request)["command"]
        self.asked.append(command)
        self.deadlines.append(deadline_s)
        self._clock.at += self._takes_s
        answer = self.script.get(command, good(command))
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


def good(command: str) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": "S", "Code": 1}], command.upper(): [{"from": command}]}


def refusal(code: int) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": "E", "Code": code, "Msg": "no"}], "id": 1}


JOINED = "+".join(COMMANDS)


def asking(script: dict[str, Any], takes_s: float = 0.0) -> tuple[CgminerRpc, ScriptedWire]:
    clock = StillClock()
    wire = ScriptedWire(clock, script, takes_s)
    return CgminerRpc(Endpoint("10.0.0.1"), wire, clock, 4.0), wire


async def test_a_firmware_that_joins_is_asked_once() -> None:
    rpc, wire = asking({JOINED: {name: [good(name)] for name in COMMANDS}})
    for _ in range(2):
        report = await rpc.ask_all(COMMANDS)
        assert report.replies["devs"]["DEVS"] == [{"from": "devs"}]
        assert list(report.replies) == list(COMMANDS)
    assert wire.asked == [JOINED, JOINED]
    assert wire.deadlines == [2.0, 4.0]
    assert rpc.joins is True


@pytest.mark.parametrize(
    "flat",
    [
        refusal(14),
        refusal(23),
        {name: [refusal(45)] for name in COMMANDS},
    ],
)
async def test_a_firmware_that_does_not_join_is_not_asked_again(flat: Any) -> None:
    rpc, wire = asking({JOINED: flat})
    report = await rpc.ask_all(COMMANDS)
    assert list(report.replies) == list(COMMANDS)
    await rpc.ask_all(COMMANDS)
    assert wire.asked == [JOINED, *COMMANDS, *COMMANDS]
    assert rpc.joins is False


@pytest.mark.parametrize("broken", [b"\xff\xfe", DeviceTimeout("x"), Unreachable("x")])
async def test_a_firmware_that_breaks_on_joined_commands_gets_three_chances(broken: Any) -> None:
    rpc, wire = asking({JOINED: broken})
    for _ in range(4):
        report = await rpc.ask_all(COMMANDS)
        assert list(report.replies) == list(COMMANDS)
    assert wire.asked == [JOINED, *COMMANDS] * 3 + [*COMMANDS]
    assert rpc.joins is False


async def test_one_broken_connection_does_not_end_joining() -> None:
    rpc, wire = asking({JOINED: Unreachable("x")})
    await rpc.ask_all(COMMANDS)
    wire.script[JOINED] = {name: [good(name)] for name in COMMANDS}
    await rpc.ask_all(COMMANDS)
    assert wire.asked == [JOINED, *COMMANDS, JOINED]
    assert rpc.joins is True


async def test_one_refused_command_does_not_cost_the_others() -> None:
    rpc, _ = asking({JOINED: refusal(14), "summary": refusal(45), "pools": refusal(14)})
    report = await rpc.ask_all(COMMANDS)
    assert list(report.replies) == ["devs"]
    assert {name: type(error) for name, error in report.errors.items()} == {
        "summary": AccessDenied,
        "pools": Unsupported,
    }


async def test_one_unreadable_answer_does_not_cost_the_others() -> None:
    rpc, _ = asking({JOINED: refusal(14), "devs": b"garbage"})
    report = await rpc.ask_all(COMMANDS)
    assert list(report.replies) == ["summary", "pools"]
    assert type(report.errors["devs"]) is BadReply


async def test_where_nothing_was_brought_the_first_reason_is_raised() -> None:
    rpc, _ = asking({JOINED: refusal(14), **{name: refusal(45) for name in COMMANDS}})
    with pytest.raises(AccessDenied):
        await rpc.ask_all(COMMANDS)


async def test_one_deadline_over_all() -> None:
    rpc, wire = asking({JOINED: refusal(14)}, takes_s=1.0)
    await rpc.ask_all(COMMANDS)
    assert wire.deadlines == [2.0, 3.0, 2.0, 1.0]


@pytest.mark.parametrize(
    "end", [DeviceTimeout("x"), Unreachable("x"), WrongProtocol("x"), NoResources("x")]
)
async def test_after_a_dead_end_no_more_is_asked(end: Exception) -> None:
    rpc, wire = asking({JOINED: refusal(14), "devs": end})
    report = await rpc.ask_all(COMMANDS)
    assert wire.asked == [JOINED, "summary", "devs"]
    assert report.errors == {"devs": end}


async def test_another_protocol_is_not_asked_singly() -> None:
    rpc, wire = asking({JOINED: b"HTTP/1.1 400 Bad Request\r\n\r\n"})
    with pytest.raises(WrongProtocol):
        await rpc.ask_all(COMMANDS)
    assert wire.asked == [JOINED]


async def test_a_cut_answer_is_named() -> None:
    half = json.dumps(good("devs")).encode()[:-8]
    rpc, _ = asking({JOINED: refusal(14), "devs": half})
    report = await rpc.ask_all(COMMANDS)
    assert report.cut == ("devs",)
    assert report.replies["devs"]["STATUS"]


async def test_a_firmware_that_joins_and_then_fails_is_not_asked_singly() -> None:
    script: dict[str, Any] = {JOINED: {name: [good(name)] for name in COMMANDS}}
    rpc, wire = asking(script)
    await rpc.ask_all(COMMANDS)
    script[JOINED] = Unreachable("gone")
    with pytest.raises(Unreachable, match="gone"):
        await rpc.ask_all(COMMANDS)
    assert wire.asked == [JOINED, JOINED]


async def test_a_single_command() -> None:
    rpc, wire = asking({"version": good("version"), "privileged": refusal(45)})
    assert (await rpc.ask("version"))["VERSION"]
    with pytest.raises(Refused, match="code 45: no"):
        await rpc.ask("privileged")
    assert (await rpc.ask_all(("pools",))).replies["pools"]
    assert wire.asked == ["version", "privileged", "pools"]


# --- against the simulated site ------------------------------------------------------------


async def on_site(model: str, act: Callable[[CgminerRpc, SimServer], Any]) -> list[str]:
    seen: list[str] = []
    site = Site(5, "127.64.0.0/16", 1, mix={model: 1})
    pace = Pace(delay_scale=0)
    async with (
        SimServer(
            site, rpc_port=0, web_port=0, pace=pace, observer=lambda a: seen.append(a.command)
        ) as server,
        SocketWire() as wire,
    ):
        loop = asyncio.get_running_loop()
        clock = StillClock()
        clock.monotonic = loop.time  # type: ignore[method-assign]
        rpc = CgminerRpc(Endpoint(FIRST, rpc_port=server.rpc_port), wire, clock, 4.0)
        await act(rpc, server)
    return seen


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("CoinTerra TerraMiner", ["summary+pools", "summary+pools"]),
        ("Antminer S9", ["summary+pools", "summary+pools"]),
        ("Antminer S19", ["summary+pools", "summary", "pools", "summary", "pools"]),
    ],
)
async def test_firmwares_on_the_wire(model: str, asked: list[str]) -> None:
    async def twice(rpc: CgminerRpc, _: SimServer) -> None:
        for _ in range(2):
            report = await rpc.ask_all(("summary", "pools"))
            assert list(report.replies) == ["summary", "pools"]

    assert await on_site(model, twice) == asked


async def test_the_deadline_covers_a_tarpit() -> None:
    async def tarpit(rpc: CgminerRpc, server: SimServer) -> None:
        server.faults.set("tarpit", address=FIRST)
        rpc._deadline_s = 0.3
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(DeviceTimeout):
            await rpc.ask_all(("summary", "pools"))
        assert loop.time() - began < 0.5

    await on_site("Antminer S19", tarpit)
