"""MSKMiner: the recorded S19 value by value, its web side, hostile answers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.api import Credential, WebReply
from drivers.asic.rwglr.answers import parse
from drivers.asic.rwglr.mskminer import Mskminer, network_of
from drivers.model import MinerReading, PowerSource, State
from drivers.wire.cgminer import Report
from tests.replay import Replay
from tests.unit.mutations import mutations

ROOT = Path(__file__).parents[2].parent / "shared" / "captures"
CAPTURE = ROOT / "pyasic" / "Bitmain_MSKMinerS19NoPIC_2_6_0_39.json"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"
NOW = 1_790_000_000.0
recorded = pytest.mark.skipif(not CAPTURE.exists(), reason="no captures beside the repository")


def fixture(name: str) -> dict[str, Any]:
    found = json.loads((FIXTURES / f"{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def capture() -> tuple[dict[str, Any], dict[str, Any]]:
    """The recording, as `Replay` takes it, and the other project's expectations."""
    found = json.loads(CAPTURE.read_text())
    web = {"POST /admin/login": "", "POST /api/info_v1": found["web"]["info_v1"]}
    return {"rpc": found["rpc"], "web": web}, found["expected"]


# --- the recorded machine ------------------------------------------------------------------


@recorded
async def test_the_recorded_s19_says_who_it_is() -> None:
    recording, expected = capture()
    finding = await Replay(recording).probe()
    identity = finding.identity
    assert finding.driver_name == "mskminer"
    assert identity.mac == expected["mac"]
    assert identity.id == f"asic-{expected['mac']}"
    assert (identity.make, identity.model) == ("Bitmain", "Antminer S19")
    # Expected is the time of compiling; the version stands in `Type`: `S19-88 v.2.6.0.39`.
    assert recording["rpc"]["version"]["VERSION"][0]["CompileTime"] == expected["fw_ver"]
    assert (identity.firmware, identity.firmware_version) == ("mskminer", "2.6.0.39")
    assert identity.algorithm == "sha256"


@recorded
@pytest.mark.parametrize("joins", [True, False])
async def test_the_recorded_s19_value_by_value(joins: bool) -> None:
    recording, expected = capture()
    finding = await Replay(recording | {"joins": joins}).probe()
    reading = (await finding.driver.read()).reading
    assert isinstance(reading, MinerReading)
    stats = recording["rpc"]["stats"]["STATS"][1]
    assert reading.hashrate_ths == pytest.approx(stats["GHS 5s"] / 1000)
    assert round(reading.hashrate_ths or 0) == expected["hashrate SHA256Unit.TH"] == 100
    assert reading.hashrate_avg_ths == pytest.approx(stats["GHS av"] / 1000)
    assert reading.hashrate_nominal_ths == pytest.approx(stats["total_rateideal"] / 1000)
    assert (reading.state, reading.uptime_s, reading.hw_errors) == (State.MINING, 1926, 0)
    assert (reading.power_w, reading.power_source) == (stats["total_power"], PowerSource.MODELLED)
    assert (reading.faults, reading.missing, reading.mode) == ((), (), None)
    assert [fan.rpm for fan in reading.fans] == [5010, 5160, 5070, 5040]
    assert {fan.duty_percent for fan in reading.fans} == {stats["fan_pwm"]}
    assert [board.index for board in reading.boards] == [1, 2, 3]
    assert sum(board.chips or 0 for board in reading.boards) == stats["total_acn"] == 264
    for board in reading.boards:
        at = board.index
        assert (board.chips, board.chips_expected) == (stats[f"chain_acn{at}"], 88)
        assert board.hashrate_ths == pytest.approx(stats[f"chain_rate{at}"] / 1000)
        assert board.hashrate_nominal_ths == pytest.approx(stats[f"chain_rateideal{at}"] / 1000)
        assert board.board_temp_c == max(map(float, stats[f"temp_pcb{at}"].split("-")))
        assert board.chip_temp_c == max(map(float, stats[f"temp_chip{at}"].split("-")))
        assert (board.frequency_mhz, board.voltage_v) == (stats[f"freq{at}"], 15.7)
        assert board.hw_errors == stats[f"chain_hw{at}"]
    # 13 places without a board have voltages and ideal rates as well.
    assert (stats["chain_voltage16"], stats["chain_rateideal16"]) == (15.7, 31436.24)
    pools = recording["rpc"]["pools"]["POOLS"]
    assert [(pool.url, pool.user) for pool in reading.pools] == [
        (pool["URL"], pool["User"]) for pool in pools
    ]
    assert reading.shares_accepted == sum(pool["Accepted"] for pool in pools)
    assert reading.shares_rejected == sum(pool["Rejected"] for pool in pools)


# --- the web side --------------------------------------------------------------------------


class Guarded(Replay):
    """A web side that gives a cookie for the right password, and nothing without it."""

    password = b"username=ops&password=s3cret"
    method = "GET"

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        login: Any = None,
        body: bytes | None = None,
        **_: Any,
    ) -> WebReply:
        path = urlsplit(url).path
        self.asked.append(f"web {method} {path}")
        if path == "/admin/login":
            good = body == self.password
            cookie = {"set-cookie": "session=abc123; Path=/; HttpOnly"} if good else {}
            return WebReply(200 if good else 401, cookie, b"")
        if (headers or {}).get("Cookie") != "session=abc123":
            return WebReply(401, {}, b"")
        if method != self.method:
            return WebReply(405, {}, b"")
        return WebReply(200, {}, b'{"network_info":{"result":{"macaddr":"02:0c:00:00:00:09"}}}')


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_form_gives_a_cookie_that_opens_the_page(method: str) -> None:
    replay = Guarded(fixture("mskminer-s19"))
    replay.method = method
    driver = Mskminer(replay.endpoint, replay.context(Credential("ops", "s3cret")))
    assert (await driver.identify()).mac == "02:0c:00:00:00:09"
    assert replay.asked.count("web POST /admin/login") == 1
    await driver.identify()
    assert replay.asked.count("web POST /admin/login") == 1


async def test_a_wrong_password_leaves_what_the_rpc_says() -> None:
    replay = Guarded(fixture("mskminer-s19"))
    driver = Mskminer(replay.endpoint, replay.context())
    identity = await driver.identify()
    assert (identity.provisional, identity.model) == (True, "Antminer S19")
    assert identity.firmware_version == "2.6.0.39"
    assert (await driver.read()).reading.state is State.MINING


async def test_polls_ask_the_rpc_alone() -> None:
    replay = Replay(fixture("mskminer-s19"))
    driver = (await replay.probe()).driver
    del replay.asked[:]
    for _ in range(3):
        await driver.read()
    assert replay.asked == ["rpc stats+pools"] * 3


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ({"network_info": {"result": {"macaddr": "x"}}}, {"macaddr": "x"}),
        ({"network_info": {"macaddr": "x"}}, {"macaddr": "x"}),
        ({"network_info": {"result": []}}, {}),
        ({"network_info": 5}, {}),
        ([], {}),
        (None, {}),
    ],
)
def test_the_page_may_be_anything(page: Any, found: dict[str, Any]) -> None:
    assert network_of(page) == found


# --- hostile answers -----------------------------------------------------------------------


@given(st.sampled_from(["mskminer-s19", "mskminer-s19-board-lost"]), st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_damaged_answers_never_raise(name: str, data: st.DataObject) -> None:
    damaged = data.draw(mutations(fixture(name)["rpc"]))
    rpc = {key: reply for key, reply in damaged.items() if isinstance(reply, dict)}
    msgspec.json.encode(parse(Report(rpc), "asic-x", NOW).reading)
