"""Hiveon: names, power, sleeping machines, what is asked, hostile answers. No recording is kept."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.api import Credential
from drivers.asic.rwglr import answers as rwglr_answers
from drivers.asic.rwglr.answers import Type, parse, type_of
from drivers.asic.rwglr.hiveon import Hiveon
from drivers.errors import DriverError, Unreachable
from drivers.model import MinerReading, PowerSource, State
from drivers.registry import create
from drivers.wire.cgminer import Report, decode
from tests.replay import Replay
from tests.unit.mutations import mutations

FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"
NOW = 1_790_000_000.0
NAMES = ("hiveon-s9", "hiveon-s19-supply", "hiveon-l3-board-lost", "hiveon-s17-sleeping")


def fixture(name: str) -> dict[str, Any]:
    found = json.loads((FIXTURES / f"{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def replies(name: str) -> dict[str, Any]:
    rpc = fixture(name)["rpc"]
    return {
        key: decode(value.encode()).reply if isinstance(value, str) else value
        for key, value in rpc.items()
    }


def read(rpc: dict[str, Any]) -> MinerReading:
    reading = parse(Report(rpc), "asic-x", NOW).reading
    assert isinstance(reading, MinerReading)
    return reading


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("Antminer S9 Hiveon", Type("Antminer S9")),  # recorded
        ("Antminer S19x88 Hiveon", Type("Antminer S19", 88)),  # recorded
        ("Antminer L3+ Hiveon", Type("Antminer L3+")),
        ("Antminer T9+ Hiveon", Type("Antminer T9+")),
        ("ANTMINER S19JPRO HIVEON", Type("Antminer S19j Pro")),
        ("Antminer S17 Pro (Hiveon)", Type("Antminer S17 Pro")),
        ("S19-88 v.2.6.0.39 ", Type("Antminer S19", 88, "2.6.0.39")),  # recorded, MSKMiner
        ("Antminer X17", Type("Antminer X17")),
        ("", Type(None)),
        (None, Type(None)),
        ({}, Type(None)),
    ],
)
def test_a_type_is_taken_apart(word: Any, found: Type) -> None:
    assert type_of(word) == found


def test_hiveon_is_told_from_the_other_firmware_with_its_build() -> None:
    version = replies("hiveon-s9")["version"]["VERSION"][0]
    assert version["BMMiner"].endswith("rwglr")  # the sign of MSKMiner


# --- units and power -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "watts"),
    [
        ({"total_power": 3358, "chain_power": "1.0 (AB)"}, 3358),
        ({"chain_power": "456.78 (AB)", "chain_power6": 234.84, "chain_power7": 221.94}, 456.78),
        ({"chain_power6": 234.84, "chain_power7": 221.94, "chain_power8": 0}, 456.78),
        ({"chain_consumption6": 495, "chain_consumption7": 495, "chain_consumption8": 495}, 1485),
        ({"total_power": 0}, 0),
        ({"total_power": -5}, None),
        ({"total_power": "inf"}, None),
        ({}, None),
    ],
)
def test_watts_are_found_by_any_of_their_names(body: dict[str, Any], watts: float | None) -> None:
    rpc = replies("hiveon-s9")
    stats = rpc["stats"]["STATS"]
    stats[1] = {key: value for key, value in stats[1].items() if "power" not in key} | body
    reading = read(rpc)
    assert reading.power_w == watts
    assert reading.power_source is (None if watts is None else PowerSource.MODELLED)


def test_scrypt_is_in_millions_of_hashes() -> None:
    assert read(replies("hiveon-l3-board-lost")).hashrate_ths == pytest.approx(378.212e-6)


def test_places_without_a_board_show_neither_voltage_nor_rate() -> None:
    reading = read(replies("hiveon-s19-supply"))
    assert len(reading.boards) == 3
    assert replies("hiveon-s19-supply")["stats"]["STATS"][1]["chain_voltage16"] == 14.2


def test_boards_of_88_chips_are_whole_with_88() -> None:
    rpc = replies("hiveon-s19-supply")
    rpc["stats"]["STATS"][1]["chain_acn2"] = 80  # more than the 76 of the boards sold before
    faults = [fault.message for fault in read(rpc).faults]
    assert "board 2: 80 of 88 chips answer" in faults


# --- sleeping ------------------------------------------------------------------------------


async def test_a_machine_that_stands_is_asked_for_its_mode_now_and_then() -> None:
    replay = Replay(fixture("hiveon-s17-sleeping"))
    driver = (await replay.probe()).driver
    del replay.asked[:]
    for _ in range(10):
        assert (await driver.read()).reading.state is State.SLEEPING
        replay.at += 10
    pages = [asked for asked in replay.asked if asked.startswith("web")]
    assert len(pages) == 2
    assert set(pages) == {"web GET /cgi-bin/get_miner_conf.cgi"}
    assert replay.asked.count("rpc stats+pools") == 10


async def test_a_machine_that_hashes_is_not_asked_for_its_mode() -> None:
    replay = Replay(fixture("hiveon-s9"))
    driver = (await replay.probe()).driver
    del replay.asked[:]
    for _ in range(5):
        await driver.read()
        replay.at += 10
    assert not any(asked.startswith("web") for asked in replay.asked)


async def test_a_stand_without_a_mode_is_a_fault_and_a_closed_page_is_named() -> None:
    recording = fixture("hiveon-s17-sleeping")
    recording["web"]["/cgi-bin/get_miner_conf.cgi"] = "<html>"
    replay = Replay(recording)
    reading = (await (await replay.probe()).driver.read()).reading
    assert reading.state is State.FAULT
    assert any(part.startswith("web: BadReply") for part in reading.missing)
    del recording["web"]
    reading = (await create("hiveon", replay.endpoint, replay.context()).read()).reading
    assert (reading.state, reading.missing) == (State.FAULT, ())


# --- one side or the other -----------------------------------------------------------------


async def test_each_side_suffices_for_an_identity() -> None:
    recording = fixture("hiveon-s9")
    web_only = Replay({"web": recording["web"], "realm": recording["realm"]})
    identity = await Hiveon(web_only.endpoint, web_only.context()).identify()
    assert (identity.id, identity.model) == ("asic-02:0b:00:00:00:01", "Antminer S9")
    assert (identity.firmware, identity.algorithm) == ("hiveon", "sha256")
    rpc_only = Replay({"rpc": recording["rpc"]})
    identity = await Hiveon(rpc_only.endpoint, rpc_only.context()).identify()
    assert (identity.id, identity.model) == ("asic-at-10.0.0.1", "Antminer S9")
    neither = Replay({})
    with pytest.raises(Unreachable):
        await Hiveon(neither.endpoint, neither.context(Credential("a", "b"))).identify()


async def test_without_stats_the_classic_commands_serve() -> None:
    recording = fixture("hiveon-s9")
    recording["rpc"]["stats"] = {"STATUS": [{"STATUS": "E", "Code": 14, "Msg": "Invalid command"}]}
    recording["rpc"]["summary"] = {
        "STATUS": [{"STATUS": "S", "Code": 11, "Msg": "Summary"}],
        "SUMMARY": [{"Elapsed": 90, "GHS 5s": "12000.0", "Accepted": 5}],
    }
    for joins in (True, False):
        replay = Replay(recording | {"joins": joins})
        driver = (await replay.probe()).driver
        for _ in range(2):
            reading = (await driver.read()).reading
            assert isinstance(reading, MinerReading)
            assert (reading.hashrate_ths, reading.state) == (12.0, State.MINING)
            assert len(reading.pools) == 2


async def test_pools_are_asked_every_45_seconds_where_commands_do_not_join() -> None:
    class Live(Replay):
        def _rpc(self, command: str, parameter: Any) -> Any:
            answer = super()._rpc(command, parameter)
            if command == "stats":
                answer["STATS"][1]["Elapsed"] = int(self.at - NOW) + 900
            return answer

    replay = Live(fixture("hiveon-s19-supply") | {"joins": False})
    driver = (await replay.probe()).driver
    await driver.read()
    del replay.asked[:]
    for _ in range(9):
        replay.at += 10
        reading = (await driver.read()).reading
        assert isinstance(reading, MinerReading)
        assert len(reading.pools) == 1
    assert replay.asked.count("rpc stats") == 9
    assert replay.asked.count("rpc pools") == 1


# --- hostile answers -----------------------------------------------------------------------


@given(st.sampled_from(NAMES), st.data())
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
def test_damaged_answers_never_raise(name: str, data: st.DataObject) -> None:
    damaged = data.draw(mutations(replies(name)))
    rpc = {key: reply for key, reply in damaged.items() if isinstance(reply, dict)}
    try:
        sample = parse(Report(rpc), "asic-x", NOW)
        identity = rwglr_answers.parse_identity(
            rpc.get("version", {}), {"macaddr": data.draw(st.text(max_size=20))}, "asic-at-x", "y"
        )
    except DriverError:
        return
    msgspec.json.encode(sample.reading)
    msgspec.json.encode(identity)
