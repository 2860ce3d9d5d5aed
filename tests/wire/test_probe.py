"""Which driver is found for what answers, and by what evidence."""

import json
from typing import Any

import pytest

from drivers import registry
from drivers.api import Context, Driver, Endpoint, WebReply
from drivers.errors import (
    BadReply,
    DeviceTimeout,
    DriverError,
    Refused,
    Unreachable,
    WrongProtocol,
)
from drivers.model import Kind
from drivers.probe import Finding, probe
from tests.wire.simsite import NoMemory, SiteClock, on_site

NETWORK = "127.67.0.0/16"


@pytest.mark.parametrize(
    ("model", "driver", "named", "firmware", "lasting"),
    [
        ("Antminer S19", "antminer", "Antminer S19", "stock", True),
        ("Antminer S19 Pro", "antminer", "Antminer S19 Pro", "stock", True),
        ("Antminer S19j Pro", "antminer", "Antminer S19j Pro", "stock", True),
        ("Antminer S19 XP", "antminer", "Antminer S19 XP", "stock", True),
        ("Antminer S21", "antminer", "Antminer S21", "stock", True),
        ("Antminer S9", "antminer", "Antminer S9", "stock", False),
        ("CoinTerra TerraMiner", "cgminer", None, "cgminer", False),
        ("BitForce SC", "cgminer", None, "cgminer", False),
        ("Radeon R9 290", "cgminer", None, "cgminer", False),
    ],
)
async def test_each_simulated_machine_finds_its_driver(
    model: str, driver: str, named: str | None, firmware: str, lasting: bool
) -> None:
    async with on_site(model, NETWORK) as where:
        finding = await probe(where.endpoint(), where.context)
        assert finding.driver_name == driver
        assert isinstance(finding.driver, Driver)
        assert (finding.identity.model, finding.identity.firmware) == (named, firmware)
        assert finding.identity.provisional is not lasting
        assert finding.identity.kind is Kind.ASIC
        assert finding.evidence[0] == "version: answered"
        assert (await finding.driver.read()).reading.device_id == finding.identity.id


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("refuse", Unreachable),
        ("reset", Unreachable),
        ("tarpit", DeviceTimeout),
        ("drip", DeviceTimeout),
        ("http", WrongProtocol),
        ("garbage", BadReply),
    ],
)
async def test_what_does_not_answer_says_why(fault: str, outcome: type[DriverError]) -> None:
    async with on_site("Antminer S19", NETWORK, deadline_s=0.3) as where:
        where.server.faults.set(fault, address=where.endpoint().address)
        with pytest.raises(outcome) as caught:
            await probe(where.endpoint(), where.context)
        assert type(caught.value) is outcome


async def test_an_address_with_nobody() -> None:
    async with on_site("Antminer S19", NETWORK) as where:
        with pytest.raises(Unreachable):
            await probe(where.endpoint(77), where.context)


# --- firmwares that the simulator does not have --------------------------------------------


class Scripted:
    """A device as a table from command to answer; its web side is closed."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def exchange(
        self, address: str, port: int, request: bytes, *, deadline_s: float, limit_bytes: int
    ) -> bytes:
        command = json.loads(request)["command"]
        self.asked.append(command)
        answer = self.answers.get(command, refusal(14, "Invalid command"))
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    async def get(self, url: str, **_: Any) -> WebReply:
        raise Unreachable(f"{url}: refused")

    async def find(self) -> Finding:
        context = Context(
            wire=self, web=self, clock=SiteClock(), credentials=lambda _: (), memory=NoMemory()
        )
        return await probe(Endpoint("10.0.0.1"), context)


def refusal(code: int, words: str) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": "E", "Code": code, "Msg": words}], "id": 1}


def version(**row: Any) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": "S", "Code": 22}], "VERSION": [row], "id": 1}


@pytest.mark.parametrize(
    ("row", "firmware"),
    [
        ({"BOSminer": "1.0", "API": "3.7"}, "braiins"),
        ({"BOSer": "1.0"}, "braiins"),
        ({"LUXminer": "2024.1", "Type": "Antminer S19"}, "luxos"),
        ({"Miner": "1", "Type": "Antminer S21 (Vnish 1.2.7)"}, "vnish"),
        ({"BMMiner": "1", "Type": "Antminer S9 Hiveon"}, "hiveon"),
        ({"Miner": "marafw", "Type": "Antminer S19"}, "mara"),
        ({"Miner": "btminer", "Type": "M30S"}, "whatsminer"),
        ({"CGMiner": "4.11", "PROD": "AvalonMiner 1246"}, "avalon"),
        ({"gcminer": "1"}, "auradine"),
        ({"BDMiner": "1"}, "sealminer"),
    ],
)
async def test_aftermarket_firmware_is_not_taken_for_the_vendors(
    row: dict[str, str], firmware: str
) -> None:
    finding = await Scripted(version=version(**row)).find()
    assert finding.driver_name == "cgminer"
    assert finding.identity.firmware == firmware
    assert finding.identity.make is None
    assert any(firmware in line for line in finding.evidence)


async def test_a_firmware_that_does_not_know_version_is_known_by_stats() -> None:
    stats = {"STATUS": [{"STATUS": "S", "Code": 70}], "STATS": [{"Type": "Antminer S19"}]}
    device = Scripted(stats=stats)
    finding = await device.find()
    assert device.asked[:2] == ["version", "stats"]
    assert finding.identity.model == "Antminer S19"
    assert finding.driver_name == "antminer"
    assert finding.evidence[0].startswith("version: Unsupported code 14")


async def test_vnish_that_does_not_know_version_is_still_identified() -> None:
    stats = {
        "STATUS": [{"STATUS": "S", "Code": 70}],
        "STATS": [{"Type": "Antminer S21 Pro (Vnish 1.2.7)"}],
    }
    finding = await Scripted(stats=stats).find()
    assert (finding.driver_name, finding.identity.firmware) == ("cgminer", "vnish")
    assert finding.identity.id == "asic-at-10.0.0.1"


async def test_an_unknown_word_means_the_generic_dialect() -> None:
    finding = await Scripted(version=version(Frob="9", API="3.7")).find()
    assert finding.driver_name == "cgminer"
    assert finding.identity.firmware is None
    assert finding.evidence[-1] == "no known word: generic dialect"


async def test_a_device_that_refuses_everything() -> None:
    with pytest.raises(Refused):
        await Scripted(version=refusal(45, "no"), stats=refusal(45, "no")).find()


async def test_a_device_behind_a_broken_proxy() -> None:
    words = b"Socket connect failed: Connection refused\n"
    with pytest.raises(BadReply, match="Socket connect failed"):
        await Scripted(version=words, stats=words).find()


def test_every_driver_of_the_table_can_be_made() -> None:
    device = Scripted()
    context = Context(
        wire=device, web=device, clock=SiteClock(), credentials=lambda _: (), memory=NoMemory()
    )
    for name, spec in registry.DRIVERS.items():
        assert isinstance(registry.create(name, Endpoint("10.0.0.1"), context), Driver)
        assert spec.title
    with pytest.raises(KeyError):
        registry.create("no such", Endpoint("10.0.0.1"), context)
