"""Which driver is found for what answers, and by what evidence."""

import gzip
from typing import Any

import pytest

from drivers import registry
from drivers.api import Driver, Endpoint
from drivers.errors import (
    BadReply,
    DeviceTimeout,
    DriverError,
    Refused,
    Unreachable,
    WrongProtocol,
)
from drivers.model import Kind, MinerReading
from drivers.probe import decide, probe
from drivers.sightings import Sightings
from tests.replay import Replay
from tests.wire.simsite import on_site

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
        ("BitForce SC", "cgminer", "BitForce SC", "bfgminer", False),
        ("Radeon R9 290", "cgminer", "Radeon R9 290", "sgminer", False),
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
        assert finding.evidence[0] == "rpc version: answered"
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
    async with on_site("CoinTerra TerraMiner", NETWORK, deadline_s=0.3) as where:
        where.server.faults.set(fault, address=where.endpoint().address)
        with pytest.raises(outcome) as caught:
            await probe(where.endpoint(), where.context)
        assert type(caught.value) is outcome


async def test_an_address_with_nobody() -> None:
    async with on_site("Antminer S19", NETWORK) as where:
        with pytest.raises(Unreachable):
            await probe(where.endpoint(77), where.context)


async def test_a_closed_rpc_port_leaves_the_web_side() -> None:
    async with on_site("Antminer S19", NETWORK, deadline_s=0.5) as where:
        where.server.faults.set("refuse", address=where.endpoint().address)
        finding = await probe(where.endpoint(), where.context)
        assert finding.driver_name == "antminer"
        assert finding.identity.mac == where.machine().mac.lower()
        assert any("'antMiner'" in line for line in finding.evidence)


# --- firmwares that the simulator does not have --------------------------------------------


def scripted(**answers: Any) -> Replay:
    """A device as a table from command to answer; its other ports are closed."""
    return Replay({"rpc": answers})


def refusal(code: int, words: str) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": "E", "Code": code, "Msg": words}], "id": 1}


def version(**row: Any) -> dict[str, Any]:
    return {"STATUS": [{"STATUS": "S", "Code": 22}], "VERSION": [row], "id": 1}


async def decided(recording: Replay) -> tuple[str, list[str]]:
    seen = Sightings(recording.endpoint, recording.context())
    return await decide(seen), seen.evidence


@pytest.mark.parametrize(
    ("row", "driver"),
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
        ({"KDAminer": "1"}, "goldshell"),
        ({"INNOMINER": "1"}, "innosilicon"),
        ({"CGMiner": "4.12", "Type": "Antminer RWGLR"}, "mskminer"),
    ],
)
async def test_firmware_is_decided_before_the_make(row: dict[str, str], driver: str) -> None:
    recording = scripted(version=version(**row))
    name, evidence = await decided(recording)
    assert name == driver
    assert evidence[0] == "rpc version: answered"
    assert any(registry.DRIVERS[driver].title in line for line in evidence)


@pytest.mark.parametrize(
    ("pages", "driver"),
    [
        ({"/": "<title>Braiins OS</title>"}, "braiins"),
        ({"/": "<title>AnthillOS</title>"}, "vnish"),
        ({"/": "<title>Luxor Firmware</title>"}, "luxos"),
        ({"/": "<title>Miner Web Dashboard</title>"}, "epic"),
        ({"/": "<title>AxeOS</title>"}, "axeos"),
        ({"/": "<h1>cloud-box</h1>"}, "goldshell"),
        ({"/": "Miner UI"}, "auradine"),
        ({"/": "/amazeui.min.js"}, "sealminer"),
        ({"/": "Proto OS"}, "proto"),
        ({"/": "<TITLE>用户界面</TITLE>"}, "iceriver"),
        ({"/": "DragonMint"}, "innosilicon"),
        ({"/": gzip.compress(b"<title>AxeOS</title>")}, "axeos"),
        ({"/api/system/info": {"ASICModel": "BM1370"}}, "axeos"),
    ],
)
async def test_the_web_side_tells_where_the_rpc_port_is_closed(
    pages: dict[str, Any], driver: str
) -> None:
    name, evidence = await decided(Replay({"web": pages}))
    assert name == driver
    assert any("Unreachable" in line for line in evidence)


async def test_an_aftermarket_page_outweighs_the_vendors_rpc() -> None:
    stock = version(Type="Antminer S19", BMMiner="1.0")
    name, _ = await decided(Replay({"rpc": {"version": stock}, "web": {"/": "AnthillOS"}}))
    assert name == "vnish"


async def test_a_certain_word_ends_the_questions() -> None:
    recording = scripted(version=version(LUXminer="2025.4"))
    await decided(recording)
    assert recording.asked == ["rpc version"]


async def test_frames_outweigh_an_older_side_of_the_same_machine() -> None:
    row = {"DEVDETAILS": 0, "Driver": "bitmicro", "Model": "M60S"}
    rpc = {"devdetails": {"STATUS": [{"STATUS": "S", "Code": 69}], "DEVDETAILS": [row]}}
    info = {"code": 0, "msg": {}, "desc": "get.device.info"}
    name, _ = await decided(Replay({"rpc": rpc, "framed": {"get.device.info": info}}))
    assert name == "whatsminer3"
    assert (await decided(Replay({"rpc": rpc})))[0] == "whatsminer"


async def test_http_on_the_rpc_port_that_is_no_miners_stays_the_wrong_protocol() -> None:
    with pytest.raises(WrongProtocol):
        await decided(Replay({"rpc_http": {"/": "hello"}}))


async def test_a_firmware_that_does_not_know_version_is_known_by_stats() -> None:
    stats = {"STATUS": [{"STATUS": "S", "Code": 70}], "STATS": [{"Type": "Antminer S19"}]}
    device = scripted(stats=stats)
    finding = await device.probe()
    assert device.asked[:2] == ["rpc version", "rpc stats"]
    assert finding.identity.model == "Antminer S19"
    assert finding.driver_name == "antminer"
    assert finding.evidence[0].startswith("rpc version: Unsupported code 14")


async def test_vnish_that_does_not_know_version_is_still_identified() -> None:
    stats = {
        "STATUS": [{"STATUS": "S", "Code": 70}],
        "STATS": [{"Type": "Antminer S21 Pro (Vnish 1.2.7)"}],
    }
    finding = await scripted(stats=stats).probe()
    assert (finding.driver_name, finding.identity.firmware) == ("vnish", "vnish")
    assert finding.identity.model == "Antminer S21 Pro"
    assert finding.identity.id == "asic-at-10.0.0.1"


async def test_an_unknown_word_means_the_generic_dialect() -> None:
    finding = await scripted(version=version(Frob="9", API="3.7")).probe()
    assert finding.driver_name == "cgminer"
    assert finding.identity.firmware is None
    assert finding.evidence[-1] == "no known sign: generic dialect"


async def test_a_device_that_refuses_everything_is_seen_and_gives_no_reading() -> None:
    device = scripted(version=refusal(45, "no"), stats=refusal(45, "no"))
    finding = await device.probe()
    assert (finding.driver_name, finding.identity.id) == ("cgminer", "asic-at-10.0.0.1")
    with pytest.raises(Refused):
        await finding.driver.read()


async def test_a_device_that_answers_one_command_is_read_by_it() -> None:
    row = {"Elapsed": 1000, "GHS 5s": 13500.0, "Accepted": 9}
    summary = {"STATUS": [{"STATUS": "S", "Code": 11}], "SUMMARY": [row]}
    finding = await scripted(summary=summary).probe()
    reading = (await finding.driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert (reading.hashrate_ths, reading.uptime_s, reading.shares_accepted) == (13.5, 1000, 9)


async def test_a_device_behind_a_broken_proxy() -> None:
    words = b"Socket connect failed: Connection refused\n"
    with pytest.raises(BadReply, match="Socket connect failed"):
        await scripted(version=words, stats=words).probe()


def test_every_driver_of_the_table_can_be_made() -> None:
    context = scripted().context()
    for name, spec in registry.DRIVERS.items():
        assert isinstance(registry.create(name, Endpoint("10.0.0.1"), context), Driver)
        assert spec.title
    with pytest.raises(KeyError):
        registry.create("no such", Endpoint("10.0.0.1"), context)
