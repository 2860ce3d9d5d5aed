"""MARA firmware: units, states, what is asked, the way by port 4028. No recording is at hand."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from drivers.asic.mara import answers as mara_answers
from drivers.asic.mara import driver as mara
from drivers.asic.mara import pages as mara_pages
from drivers.errors import AccessDenied, DriverError, Unreachable
from drivers.model import MinerReading, PowerSource, State
from drivers.registry import create
from drivers.wire.cgminer import Report
from tests.replay import NOW, Replay
from tests.unit.mutations import mutations

FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"
PREFIX = "web GET /kaonsu/v1/"


def fixture(name: str) -> dict[str, Any]:
    found = json.loads((FIXTURES / f"mara-{name}.json").read_text())
    assert isinstance(found, dict)
    return found


async def read(driver: Any) -> MinerReading:
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    return reading


def of_brief(brief: dict[str, Any], slow: dict[str, Any] | None = None) -> MinerReading:
    report = Report({mara_pages.BRIEF: brief}, {})
    reading = mara_answers.parse(report, "asic-x", NOW, slow or {}, {}).reading
    assert isinstance(reading, MinerReading)
    return reading


@pytest.mark.parametrize(
    ("brief", "ths"),
    [
        ({"hashrate_realtime": 198.2, "hashrate_ideal": 200000}, 198.2),
        # One public reader takes it for GH/s: no machine runs at a thousand times its ideal.
        ({"hashrate_realtime": 198200.0, "hashrate_ideal": 200000}, 198.2),
        ({"hashrate_realtime": 198.2}, 198.2),
        ({"hashrate_realtime": 198200, "hashrate_unit": "GH/s", "hashrate_ideal": 1}, 198.2),
        ({"hashrate_realtime_10m": 0.021, "hashrate_realtime_10m_unit": "PH/s"}, 21.0),
        ({"hashrate_realtime_10m": 16000.0, "hashrate_unit": "MH/s"}, 0.016),
        ({"hashrate_realtime": 5, "hashrate_unit": "furlongs"}, None),
        ({"hashrate_realtime": "nan", "hashrate_average": 20}, None),
        ({"hashrate_realtime": -1}, None),
        ({}, None),
    ],
)
def test_units_stand_beside_the_rates_or_are_the_usual(
    brief: dict[str, Any], ths: float | None
) -> None:
    assert of_brief(brief).hashrate_ths == ths


@pytest.mark.parametrize(
    ("brief", "state"),
    [
        ({"status": "Mining", "hashrate_realtime": 90}, State.MINING),
        ({"status": "Mining"}, State.MINING),
        ({"status": "Mining", "hashrate_realtime": 0, "elapsed": 20}, State.STARTING),
        ({"status": "Mining", "hashrate_realtime": 0, "elapsed": 2000}, State.FAULT),
        ({"status": "Sleep", "hashrate_realtime": 0}, State.SLEEPING),
        ({"status": "", "work_mode": "Sleep", "hashrate_realtime": 0}, State.SLEEPING),
        ({"status": "Mining", "work_mode": "Sleep", "hashrate_realtime": 50}, State.MINING),
        ({"status": "Curtailed", "hashrate_realtime": 0}, State.SLEEPING),
        ({"status": "Failure", "hashrate_realtime": 9}, State.FAULT),
        ({"status": "Initializing"}, State.STARTING),
        ({"status": "Strange", "hashrate_realtime": 0, "elapsed": 2000}, State.UNKNOWN),
        ({"hashrate_realtime": 50}, State.MINING),
        ({}, State.UNKNOWN),
    ],
)
def test_the_state_is_the_miners_word(brief: dict[str, Any], state: State) -> None:
    assert of_brief(brief).state is state


def test_the_mode_that_is_set_counts_where_the_brief_has_none() -> None:
    config = mara_pages.reduce_config({"mode": {"work-mode-selector": "Sleep"}})
    reading = of_brief({"hashrate_realtime": 0}, {mara_pages.CONFIG: config})
    assert (reading.state, reading.mode) == (State.SLEEPING, "sleep")


def test_watts_are_the_supplys_or_modelled() -> None:
    sources = [
        of_brief({"power_consumption_estimated": 9, "power_source": word})
        for word in ("PSU", "EST")
    ]
    assert [each.power_source for each in sources] == [PowerSource.REPORTED, PowerSource.MODELLED]
    assert of_brief({"power_consumption_estimated": 9}).power_source is PowerSource.MODELLED
    assert of_brief({"power_consumption_estimated": -9}).power_w is None
    assert of_brief({}).power_source is None


async def test_a_poll_is_three_pages_and_the_others_now_and_then() -> None:
    replay = Replay(fixture("mining"))
    driver = (await replay.probe()).driver
    await driver.read()
    replay.asked.clear()
    for _ in range(3):
        replay.at += 10
        replay.recording["web"]["/kaonsu/v1/brief"]["elapsed"] += 10
        reading = await read(driver)
    assert replay.asked == [PREFIX + name for name in mara.POLLED] * 3
    assert reading.pools_at is not None
    assert reading.pools_at.timestamp() == NOW
    assert [board.voltage_v for board in reading.boards] == [13.1, 13.2, 13.3]
    replay.at += 50
    await driver.read()
    assert PREFIX + "pools" in replay.asked


async def test_no_password_is_kept() -> None:
    page = fixture("mining")["web"]["/kaonsu/v1/miner_config"]
    assert "secret" not in str(mara_pages.reduce_config(page))


STATS = {
    "STATUS": [{"STATUS": "S", "Code": 70}],
    "STATS": [
        {"BMMiner": "MARAFW_3.14.2", "Type": "Antminer S21"},
        {"STATS": 0, "Elapsed": 900, "GHS 5s": 199000.5, "GHS av": 198000.0, "chain_acn1": 108}
        | {"chain_rate1": "66000.5", "fan_num": 4, "fan1": 5000, "total_rateideal": 200000.0},
    ],
}  # fmt: skip


async def test_a_closed_web_side_leaves_port_4028() -> None:
    rpc = {**fixture("sleeping")["rpc"], "stats": STATS}
    replay = Replay({"rpc": rpc})
    finding = await replay.probe()
    identity, reading = finding.identity, await read(finding.driver)
    assert finding.driver_name == "mara"
    assert (identity.model, identity.firmware) == ("Antminer S21", "mara")
    assert identity.firmware_version == "MARAFW_3.14.2"
    assert (reading.state, reading.hashrate_ths) == (State.MINING, 199.0005)
    assert [words.partition(":")[0] for words in reading.missing][-1] == "web"
    replay.asked.clear()
    await read(finding.driver)
    assert not [each for each in replay.asked if each.startswith("web")]


async def test_a_password_that_does_not_open_and_nothing_else() -> None:
    class Locked(Replay):
        async def request(self, *args: Any, **values: Any) -> Any:
            reply = await super().request(*args, **values)
            return msgspec.structs.replace(reply, status=401)

    replay = Locked({"web": fixture("mining")["web"], "realm": "MaraFW"})
    driver = create("mara", replay.endpoint, replay.context())
    for ask in (driver.identify, driver.read):
        with pytest.raises(AccessDenied):
            await ask()


async def test_one_page_that_fails_is_named() -> None:
    recording = fixture("mining")
    recording["web"].pop("/kaonsu/v1/fans")
    recording["web"]["/kaonsu/v1/hashboards"] = "<html>"
    replay = Replay(recording)
    driver = create("mara", replay.endpoint, replay.context())
    reading = await read(driver)
    assert (reading.hashrate_ths, reading.boards, reading.fans) == (198.25, (), ())
    assert [words.partition(":")[0] for words in reading.missing] == ["hashboards", "fans"]


async def test_nobody_there_is_unreachable() -> None:
    replay = Replay({})
    driver = create("mara", replay.endpoint, replay.context())
    for ask in (driver.identify, driver.read):
        with pytest.raises(Unreachable):
            await ask()


PAGES = {
    key.removeprefix("/kaonsu/v1/"): value
    for key, value in fixture("mining")["web"].items()
    if key.startswith("/kaonsu/v1/")
}


@settings(max_examples=300, deadline=None)
@given(mutations(PAGES))
def test_pages_of_any_shape_give_a_reading(pages: Any) -> None:
    slow = {name: each.reduce(pages.get(name)) for name, each in mara.SLOW.items()}
    errors: dict[str, DriverError] = {}
    report = Report({name: pages.get(name) for name in mara.POLLED}, errors)
    sample = mara_answers.parse(
        report, "asic-x", NOW, slow, {mara_pages.POOLS: 1.0}, "Antminer S21"
    )
    msgspec.json.encode(sample.reading)
    overview, network = pages.get(mara_pages.OVERVIEW), pages.get(mara_pages.NETWORK)
    msgspec.json.encode(mara_pages.parse_identity(overview, network, "asic-x"))
    mara_answers.words_of(report)
    mara_answers.uptime_of(report)
