"""Answers of real machines, kept beside the repository and not in it."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.asic import cgminer
from drivers.asic.antminer import driver as antminer
from drivers.errors import DriverError
from drivers.model import MinerReading, State
from drivers.wire.cgminer import Report, checked, decode
from tests.replay import Replay

ROOT = Path(__file__).parents[2].parent / "shared" / "captures"
S19_PRO = "asic-rs/Bitmain_S19Pro_stock-v2020.json"
S19 = "proto-fleet/Bitmain_S19_stock.json"
FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("*/[!_]*.json"))
NOW = 1_790_000_000.0

pytestmark = pytest.mark.skipif(
    not FILES, reason="no captures of real machines beside the repository"
)


def load(name: str) -> dict[str, Any]:
    return json.loads((ROOT / name).read_text())


def report_of(capture: dict[str, Any], *commands: str) -> Report:
    """What asking the captured machine for these commands would have brought."""
    replies, errors = {}, {}
    for command in commands:
        if command not in capture["rpc"]:
            continue
        raw = json.dumps(capture["rpc"][command]).encode()
        try:
            replies[command] = checked(decode(raw).reply)
        except DriverError as error:
            errors[command] = error
    return Report(replies, errors)


def miner(sample: Any) -> MinerReading:
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


def test_s19_pro() -> None:
    reading = miner(antminer.parse(report_of(load(S19_PRO), "stats", "pools"), "asic-x", NOW))
    assert reading.hashrate_ths == 110.56689
    assert reading.hashrate_avg_ths == 111.83463
    assert reading.hashrate_nominal_ths == 110.0
    assert (reading.state, reading.uptime_s, reading.hw_errors) == (State.MINING, 50474, 562)
    assert [(b.index, b.chips, b.chips_expected) for b in reading.boards] == [
        (1, 114, 114),
        (2, 114, 114),
        (3, 114, 114),
    ]
    assert [b.hashrate_ths for b in reading.boards] == [37.6033, 35.53622, 37.42738]
    assert [b.chip_temp_c for b in reading.boards] == [78, 71, 69]
    assert [b.board_temp_c for b in reading.boards] == [73, 66, 64]
    assert [b.frequency_mhz for b in reading.boards] == [525] * 3
    assert [fan.rpm for fan in reading.fans] == [6000, 5880, 5040, 5040]
    assert [pool.status for pool in reading.pools] == ["Alive"] * 3
    assert [pool.active for pool in reading.pools] == [True, False, False]
    assert (reading.shares_accepted, reading.shares_rejected, reading.shares_stale) == (4057, 11, 1)
    assert (reading.power_w, reading.mode, reading.faults, reading.missing) == (None, None, (), ())


def test_s19_pro_has_a_mac_that_is_none() -> None:
    capture = load(S19_PRO)
    info = capture["web"]["get_system_info"]
    assert info["macaddr"] == "02:55:97:22:3M:72"
    identity = antminer.parse_system_info(capture["rpc"]["version"], info, "asic-at-10.0.0.1")
    assert identity.mac is None
    assert identity.id == "asic-THQING0BDJAB024NF"
    assert identity.model == "Antminer S19 Pro"
    assert identity.firmware_version == "FR-1.12(251009-S21)"


async def test_s19_pro_is_found_and_is_as_others_read_it() -> None:
    capture = load(S19_PRO)
    web = {"/cgi-bin/get_system_info.cgi": capture["web"]["get_system_info"]}
    finding = await Replay({"rpc": capture["rpc"], "web": web, "realm": "antMiner"}).probe()
    identity, reading = finding.identity, miner(await finding.driver.read())
    assert finding.driver_name == "antminer"
    assert (identity.make, identity.firmware, identity.hostname) == ("Bitmain", "stock", "Antminer")
    # The page is of another machine (an S21) than the poll: the poll's word counts.
    assert identity.model == "Antminer S19 Pro"
    expected = capture["expected"]
    assert identity.firmware_version == expected["firmware_version.as_deref()"]
    assert len(reading.boards) == expected["hashboards.len()"]
    assert len(reading.fans) == expected["fans.len()"]
    assert reading.locating is expected["light_flashing"]
    assert reading.hashrate_nominal_ths == expected["expected_hashrate.unwrap()"]["value"]
    assert reading.hashrate_ths == expected["hashrate.unwrap()"]["value"]
    # Pages that are not there are no fault of the machine's.
    assert (reading.mode, reading.faults, reading.missing) == (None, (), ())


async def test_the_pages_of_an_s19_alone() -> None:
    """Synthetic, but with the keys of real pages; its boards of 88 chips are no S19's (76)."""
    capture = load(S19)
    names = ("get_system_info", "stats", "summary", "get_miner_conf")
    web = {f"/cgi-bin/{name}.cgi": capture["web"][name] for name in names}
    replay = Replay({"web": web | {"/": "<html>"}, "realm": "antMiner"})
    finding = await replay.probe()
    reading = miner(await finding.driver.read())
    assert (finding.driver_name, finding.identity.model) == ("antminer", "Antminer S19")
    assert finding.identity.id == "asic-02:b3:b9:8c:1e:c8"
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (88.422, 87.9)
    assert (reading.hashrate_nominal_ths, reading.uptime_s) == (95.0, 501234)
    assert (reading.mode, reading.hw_errors, reading.faults) == ("normal", 12, ())
    assert [fan.rpm for fan in reading.fans] == [4080, 4380, 3750, 3690]
    assert [(b.index, b.serial, b.chips) for b in reading.boards] == [
        (1, "HASH01", 88),
        (2, "HASH02", 88),
        (3, "HASH03", 88),
    ]
    assert [b.hashrate_ths for b in reading.boards] == [29.5, 29.6, 29.322]
    assert [b.chip_temp_c for b in reading.boards] == [67, 68, 70]
    assert [b.board_temp_c for b in reading.boards] == [47, 48, 49]
    assert [b.frequency_mhz for b in reading.boards] == [675] * 3
    assert [b.hw_errors for b in reading.boards] == [4, 5, 3]


def test_s19_without_stats() -> None:
    capture = load(S19)
    report = report_of(capture, "stats", "summary", "pools", "devs")
    reading = miner(antminer.parse(report, "asic-x", NOW))
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (88.422, 87.9)
    assert (reading.state, reading.uptime_s, reading.hw_errors) == (State.MINING, 501234, 12)
    assert [pool.status for pool in reading.pools] == ["Alive", "Dead", "Dead"]
    assert (reading.shares_accepted, reading.shares_rejected, reading.shares_stale) == (
        120000,
        50,
        3,
    )
    assert (reading.hashrate_nominal_ths, reading.chip_temp_max_c, reading.fans) == (None, None, ())
    identity = antminer.parse_system_info(
        capture["rpc"]["version"], capture["web"]["get_system_info"], "asic-at-10.0.0.1"
    )
    assert (identity.id, identity.model) == ("asic-02:b3:b9:8c:1e:c8", "Antminer S19")


async def test_vnish_that_does_not_know_version_is_found() -> None:
    capture = load("proto-fleet/Bitmain_S21Pro_VNish-1.2.7.json")
    finding = await Replay({"rpc": capture["rpc"]}).probe()
    assert (finding.driver_name, finding.identity.firmware) == ("vnish", "vnish")
    assert finding.identity.model == "Antminer S21 Pro"
    assert finding.identity.firmware_version == "1.2.7"
    reading = (await finding.driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert reading.hashrate_ths


def zeros(reading: MinerReading) -> list[str]:
    """Fields of a reading that say 0."""
    found = []
    for part in (reading, *reading.boards, *reading.fans, *reading.pools):
        values = msgspec.structs.asdict(part)
        found += [
            name for name, value in values.items() if type(value) in (int, float) and not value
        ]
    return [name for name in found if name != "index"]


SAID_AS = {
    "hashrate_ths": ("MHS 5s", "GHS 5s", "THS 5s", "KHS 5s", "MHS 20s", "GHS 1m", "MHS 1m"),
    "hashrate_avg_ths": ("MHS av", "GHS av", "THS av", "KHS av"),
    "uptime_s": ("Elapsed",),
    "shares_accepted": ("Accepted",),
    "shares_rejected": ("Rejected",),
    "shares_stale": ("Stale",),
    "accepted": ("Accepted",),
    "rejected": ("Rejected",),
    "stale": ("Stale",),
    "hw_errors": ("Hardware Errors", *(f"chain_hw{at}" for at in range(1, 17))),
    "rpm": ("Fan Speed",),
}  # fmt: skip


def says_zero(found: Any, keys: tuple[str, ...]) -> bool:
    if isinstance(found, dict):
        mine = any(key in keys and value in (0, "0", "0.0", "0.00") for key, value in found.items())
        return mine or any(says_zero(value, keys) for value in found.values())
    return isinstance(found, list) and any(says_zero(value, keys) for value in found)


@pytest.mark.parametrize("name", FILES)
def test_every_machine_is_read_without_exception_and_without_invented_zeros(name: str) -> None:
    capture = load(name)
    report = report_of(capture, "version", "summary", "devs", "pools", "stats")
    reading = miner(cgminer.parse(report, "asic-x", NOW))
    msgspec.json.encode(reading)
    for field in zeros(reading):
        assert says_zero(report.replies, SAID_AS[field]), field
    assert cgminer.parse_identity(report.replies.get("version", {}), "asic-at-10.0.0.1").id
    for board in reading.boards:
        assert board.chip_temp_c is None or 10 < board.chip_temp_c < 120
