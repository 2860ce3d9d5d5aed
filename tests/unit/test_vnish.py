"""VNish: what is read of its two sides, its states and units, and how its pages are asked for."""

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Credential, WebReply
from drivers.asic.vnish.answers import parse_summary
from drivers.asic.vnish.driver import Vnish
from drivers.asic.vnish.rpc import parse_rpc
from drivers.asic.vnish.settings import (
    Settings,
    bare_model,
    parse_identity,
    parse_settings,
    preset_watts,
)
from drivers.errors import DeviceTimeout, DriverError, Unreachable
from drivers.model import Fault, MinerReading, PowerSource, State
from drivers.wire.cgminer import Report, checked
from tests.replay import NOW, Replay

ROOT = Path(__file__).parents[2].parent / "shared" / "captures"
S21_PRO = ROOT / "proto-fleet" / "Bitmain_S21Pro_VNish-1.2.7.json"
FOLDER = Path(__file__).parents[1] / "fixtures" / "asic"
ID = "asic-02:aa:bb:cc:dd:01"

needs_captures = pytest.mark.skipif(
    not S21_PRO.exists(), reason="no captures of real machines beside the repository"
)


def recording(name: str = "vnish-mining") -> dict[str, Any]:
    found = json.loads((FOLDER / f"{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def summary(**changes: Any) -> dict[str, Any]:
    """The page `summary` of a mining S19j Pro, with some keys of `miner` changed."""
    page = copy.deepcopy(recording()["web"]["/api/v1/summary"])
    page["miner"] |= changes
    return page  # type: ignore[no-any-return]


def read(page: Any, settings: Settings | None = None) -> MinerReading:
    reading = parse_summary(page, ID, NOW, settings or Settings()).reading
    assert isinstance(reading, MinerReading)
    return reading


# --- the recorded machine ------------------------------------------------------------------


def s21_pro() -> dict[str, Any]:
    capture = json.loads(S21_PRO.read_text())
    web = {f"/api/v1/{name}": page for name, page in capture["web"].items()}
    web["/"] = web.pop("/api/v1/root")["__text__"]
    web["POST /api/v1/unlock"] = web.pop("/api/v1/unlock")
    return {"rpc": capture["rpc"], "web": web}


@needs_captures
async def test_an_s21_pro_by_its_pages() -> None:
    found = s21_pro()
    finding = await Replay(found).probe()
    identity = finding.identity
    assert finding.driver_name == "vnish"
    assert (identity.make, identity.model) == ("Bitmain", "Antminer S21 Pro")
    assert (identity.firmware, identity.firmware_version) == ("vnish", "1.2.7")
    assert (identity.mac, identity.hostname) == ("02:95:23:b3:e0:79", "Antminer")
    # `serial` says "N/A".
    assert (identity.serial, identity.algorithm) == (None, "sha256")
    reading = (await finding.driver.read()).reading
    assert isinstance(reading, MinerReading)
    said = found["web"]["/api/v1/summary"]["miner"]
    # `hr_*` in GH/s; the deprecated pair says the same in TH/s.
    assert reading.hashrate_ths == said["hr_realtime"] / 1000 == said["instant_hashrate"]
    assert reading.hashrate_avg_ths == pytest.approx(said["hr_average"] / 1000)
    assert reading.hashrate_nominal_ths == pytest.approx(said["hr_nominal"] / 1000)
    # It tunes and hashes; `miner_state_time` is the RPC's `Elapsed` of a second before.
    assert (reading.state, reading.uptime_s) == (State.MINING, 4422)
    assert said["power_consumption"] == sum(each["power_consumption"] for each in said["chains"])
    assert (reading.power_w, reading.power_source) == (2583, PowerSource.REPORTED)
    assert reading.efficiency_j_th == said["power_efficiency"] == pytest.approx(2583 / 174.37475)
    # The switcher runs 2800 W where 3160 W are set.
    assert (reading.mode, reading.power_limit_w) == ("2800", 2800)
    assert (reading.power_limit_min_w, reading.power_limit_max_w) == (2550, 4690)
    assert (reading.chip_temp_max_c, reading.hw_errors) == (65, 57)
    assert [b.index for b in reading.boards] == [1, 2, 3]
    assert [b.chips for b in reading.boards] == [65, 65, 65]
    assert [b.chips_expected for b in reading.boards] == [65, 65, 65]
    assert [b.hashrate_ths for b in reading.boards] == [60.79719, 57.766645, 55.3071]
    assert {b.hashrate_nominal_ths for b in reading.boards} == {65.505727}
    assert [b.chip_temp_c for b in reading.boards] == [65, 64, 64]
    assert [b.board_temp_c for b in reading.boards] == [50, 49, 49]
    assert {(b.voltage_v, b.frequency_mhz) for b in reading.boards} == {(13.0, 495)}
    assert [b.hw_errors for b in reading.boards] == [29, 20, 8]
    assert [fan.rpm for fan in reading.fans] == [5880, 5880, 5940, 5940]
    assert {fan.duty_percent for fan in reading.fans} == {90}
    # Without the firmware's own pool and its 224 shares.
    assert [pool.user for pool in reading.pools] == ["pooluser.s21pro", "pooluser.m60s"]
    assert [(pool.status, pool.active) for pool in reading.pools] == [
        ("Alive", True),
        ("Alive", False),
    ]
    assert (reading.shares_accepted, reading.shares_rejected, reading.shares_stale) == (1599, 9, 0)
    assert (reading.faults, reading.missing) == ((), ())


@needs_captures
async def test_both_sides_of_an_s21_pro_say_the_same() -> None:
    found = s21_pro()
    by_web = (await (await Replay(found).probe()).driver.read()).reading
    del found["web"]
    finding = await Replay(found).probe()
    by_rpc = (await finding.driver.read()).reading
    assert finding.identity.model == "Antminer S21 Pro"
    assert isinstance(by_web, MinerReading)
    assert isinstance(by_rpc, MinerReading)
    for name in (
        *("state", "hashrate_ths", "hashrate_avg_ths", "hashrate_nominal_ths", "power_w"),
        *("power_source", "chip_temp_max_c", "shares_accepted", "shares_rejected", "hw_errors"),
        *("boards", "faults"),
    ):
        assert getattr(by_rpc, name) == getattr(by_web, name), name
    # Asked a second later: fans turn by 30 rpm otherwise.
    assert [fan.rpm for fan in by_rpc.fans] == [5850, 5850, 5940, 5940]
    assert [fan.index for fan in by_rpc.fans] == [fan.index for fan in by_web.fans]
    assert by_rpc.uptime_s == 4423


# --- states, units, watts ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "rate", "state"),
    [
        ("mining", 100.0, State.MINING),
        ("mining", 0.0, State.MINING),
        ("auto-tuning", 100.0, State.MINING),
        ("auto-tuning", 0.0, State.STARTING),
        ("initializing", 0.0, State.STARTING),
        ("starting", 0.0, State.STARTING),
        ("restarting", 0.0, State.STARTING),
        ("shutting-down", 50.0, State.SLEEPING),
        ("stopped", 0.0, State.SLEEPING),
        ("paused", 0.0, State.SLEEPING),
        ("failure", 0.0, State.FAULT),
        ("something new", 100.0, State.UNKNOWN),
        (None, 100.0, State.MINING),
        (None, None, State.UNKNOWN),
    ],
)
def test_states(word: str | None, rate: float | None, state: State) -> None:
    status = {"miner_state": word, "miner_state_time": 60}
    reading = read(summary(miner_status=status, hr_realtime=rate))
    assert reading.state is state
    working = word in ("mining", "auto-tuning")
    assert reading.uptime_s == (60 if working else None)


def test_without_a_living_pool_it_is_idle() -> None:
    page = summary(hr_realtime=0.0)
    for pool in page["miner"]["pools"]:
        pool["status"] = "offline"
    assert read(page).state is State.IDLE


@pytest.mark.parametrize(
    ("kind", "unit", "ths"),
    [
        ("Antminer L7 (Vnish 1.2.0-rc4)", None, 0.0093),
        ("Antminer L7 (Vnish 1.2.0-rc4)", 1e-6, 0.0093),
        ("Antminer S19 XP (Vnish 1.2.0-rc1)", None, 9.3),
        ("Antminer L9", 1e-3, 9.3),
    ],
)
def test_the_unit_is_what_info_says_else_the_models(
    kind: str, unit: float | None, ths: float
) -> None:
    reading = read(summary(miner_type=kind, hr_realtime=9300.0), Settings(unit_ths=unit))
    assert reading.hashrate_ths == pytest.approx(ths)


def test_watts() -> None:
    # An S19 XP with 1.2.0 says 0 at 140 TH/s: it does not know.
    assert read(summary(power_consumption=0)).power_w is None
    assert read(summary(power_consumption=0)).power_source is None
    assert read(summary(power_consumption=0, hr_realtime=0.0)).power_w == 0
    assert read(summary(psu={"psu_power_metering": False})).power_source is PowerSource.MODELLED
    assert read(summary(psu=None)).power_source is PowerSource.REPORTED
    assert read(summary(power_consumption="?")).power_w is None


def test_throttling_stands_in_the_mode() -> None:
    status = {"miner_state": "mining", "miner_state_time": 1, "throttled": 60}
    assert read(summary(miner_status=status), Settings(preset="3000")).mode == (
        "3000, throttled to 60 %"
    )
    status["throttled"] = 100
    assert read(summary(miner_status=status), Settings(preset="3000")).mode == "3000"


def test_water_stands_beside_the_boards() -> None:
    page = summary()
    page["miner"]["chains"][1] |= {"inlet_water_temp": 34, "outlet_water_temp": 41}
    reading = read(page)
    assert (reading.inlet_temp_c, reading.outlet_temp_c) == (34, 41)
    assert (reading.boards[1].inlet_temp_c, reading.boards[0].inlet_temp_c) == (34, None)


def test_a_machine_whose_mining_program_is_not_up() -> None:
    page = {"miner": {"miner_status": {"miner_state": "starting"}}}
    sample = parse_summary(page, ID, NOW)
    assert sample.reading.state is State.STARTING
    assert sample.fingerprint.traits == ()
    assert read({}).state is State.UNKNOWN


def test_bad_chips_are_told() -> None:
    page = summary()
    page["miner"]["chains"][0]["chip_statuses"] = {"red": 4, "orange": 0, "grey": 120}
    assert read(page).faults == (
        Fault(None, "board 1: 124 of 126 chips answer"),
        Fault(None, "board 1: 4 chips hash badly (red)"),
    )


# --- settings and identity -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "watts"),
    [
        ({"name": "2800", "pretty": "2800 watt ~ 188 TH"}, 2800),
        ({"name": "disabled", "pretty": "Disabled"}, None),
        ({"name": "2470"}, 2470),
        ({"name": "custom", "pretty": "My 95 TH"}, None),
        ({"name": "x", "pretty": "3,4 kW"}, None),
        ({}, None),
    ],
)
def test_watts_of_a_preset(preset: dict[str, Any], watts: float | None) -> None:
    assert preset_watts(preset) == watts


def test_settings_and_what_they_keep() -> None:
    presets = [{"name": str(watts)} for watts in (2000, 3000)]
    presets += [{"name": "4000", "modded_psu_required": True}]
    pages = {"settings": {"miner": {"overclock": {"preset": "3000"}}}, "autotune/presets": presets}
    found = parse_settings(pages)
    assert (found.preset, found.limit_w) == ("3000", 3000)
    assert (found.limit_min_w, found.limit_max_w) == (2000, 3000)
    pages["settings"]["miner"]["overclock"]["modded_psu"] = True  # type: ignore[call-overload]
    assert parse_settings(pages).limit_max_w == 4000
    assert parse_settings({"status": {"find_miner": True}}, found) == msgspec.structs.replace(
        found, locating=True
    )
    assert parse_settings({"autotune/presets": {"presets": presets}}).limit_min_w == 2000


@pytest.mark.parametrize(
    ("kind", "model", "version"),
    [
        ("Antminer S21 Pro (Vnish 1.2.7)", "Antminer S21 Pro", "1.2.7"),
        ("Antminer S9 (vnish for AWESOME 3.8.6)", "Antminer S9", "3.8.6"),
        ("Antminer L3+ (vnish 3.9.0)", "Antminer L3+", "3.9.0"),
        ("Antminer S19 XP (Vnish 1.2.0-rc1)", "Antminer S19 XP", "1.2.0-rc1"),
        ("Antminer L3+ (024)", "Antminer L3+ (024)", None),
    ],
)
def test_models_without_the_firmware(kind: str, model: str, version: str | None) -> None:
    identity = parse_identity({"VERSION": [{"Type": kind}]}, {}, {}, "asic-at-10.0.0.1")
    assert (identity.model, identity.firmware_version) == (model, version)
    assert bare_model(kind) == model


# --- port 4028 -----------------------------------------------------------------------------


def rpc(head: dict[str, Any], body: dict[str, Any], pools: Any = ()) -> MinerReading:
    replies = {"stats": {"STATS": [head, body]}, "pools": {"POOLS": list(pools)}}
    reading = parse_rpc(Report(replies), ID, NOW).reading
    assert isinstance(reading, MinerReading)
    return reading


def test_stats_say_the_state_and_what_is_wrong_with_a_chain() -> None:
    head = {"Type": "Antminer S17 (Vnish 2.0.3)"}
    body = {"GHS 5s": 0.0, "Elapsed": 5000, "state": "failure"}
    body |= {"chain_acn1": 48, "chain_acn2": 0, "chain_acn3": 48, "chain_vol1": 19300}
    body |= {"chain_fault2": "Failed to detect chips", "chain_state3": "disconnected"}
    reading = rpc(head, body)
    assert reading.state is State.FAULT
    assert reading.boards[0].voltage_v == 19.3
    assert [fault.message for fault in reading.faults] == [
        "board 2: 0 of 48 chips answer",
        "board 2: Failed to detect chips",
        "board 3: disconnected",
    ]
    stopped = rpc(head, body | {"state": "stopped"})
    assert (stopped.state, stopped.faults) == (State.SLEEPING, ())


# --- how it is asked -----------------------------------------------------------------------


class Machine(Replay):
    """A recording behind a password, with what it was sent."""

    password = "admin"
    bare = False
    fails: DriverError | None = None

    async def request(
        self, method: str, url: str, *, headers: Any = None, body: Any = None, **more: Any
    ) -> WebReply:
        if self.fails:
            self.asked.append("web fails")
            raise self.fails
        if url.endswith("/unlock") and json.loads(body)["pw"] != self.password:
            self.asked.append("web POST /api/v1/unlock")
            return WebReply(403, {}, b"{}")
        token = (headers or {}).get("Authorization")
        if token and self.bare and token.startswith("Bearer"):
            return WebReply(401, {}, b"")
        return await super().request(method, url, headers=headers, body=body, **more)


def machine_of(name: str = "vnish-mining") -> Machine:
    return Machine(copy.deepcopy(recording(name)))


def driver_of(machine: Machine, *credentials: Credential) -> Vnish:
    return Vnish(machine.endpoint, machine.context(*credentials))


def later(machine: Machine, seconds: float) -> None:
    machine.at += seconds
    status = machine.recording["web"]["/api/v1/summary"]["miner"]["miner_status"]
    status["miner_state_time"] += seconds
    machine.asked.clear()


async def test_a_poll_is_one_page_and_the_token_is_kept() -> None:
    machine = machine_of()
    driver = driver_of(machine)
    await driver.identify()
    await driver.read()
    for _ in range(29):
        later(machine, 10)
        assert (await driver.read()).reading.mode == "3000"  # type: ignore[attr-defined]
        assert machine.asked == ["web GET /api/v1/summary"]
    later(machine, 10)
    await driver.read()
    assert machine.asked == [f"web GET /api/v1/{n}" for n in ("summary", "perf-summary", "status")]
    later(machine, 3600)
    await driver.read()
    assert "web GET /api/v1/settings" in machine.asked
    assert "web POST /api/v1/unlock" not in machine.asked
    await driver.close()
    assert machine.asked[-1] == "web POST /api/v1/lock"
    machine.asked.clear()
    await driver.close()
    assert machine.asked == []


async def test_a_firmware_that_wants_the_token_bare() -> None:
    machine = machine_of("vnish-stopped")
    machine.bare = True
    reading = (await driver_of(machine).read()).reading
    assert (reading.state, reading.missing) == (State.SLEEPING, ())


async def test_the_operators_password_opens() -> None:
    machine = machine_of("vnish-stopped")
    machine.password = "s3cret"
    driver = driver_of(machine, Credential("any", "s3cret"))
    assert (await driver.read()).reading.state is State.SLEEPING


async def test_without_the_password_the_open_pages_are_read() -> None:
    machine = machine_of()
    machine.password = "unknown to us"
    driver = driver_of(machine)
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert (reading.hashrate_ths, reading.power_limit_w) == (103.0005, 3000)
    assert (reading.power_limit_min_w, len(reading.missing)) == (None, 2)
    tries = machine.asked.count("web POST /api/v1/unlock")
    for _ in range(5):
        later(machine, 10)
        await driver.read()
        assert "web POST /api/v1/unlock" not in machine.asked
    assert tries <= 2


@pytest.mark.parametrize("problem", [Unreachable("refused"), DeviceTimeout("slow")])
async def test_port_4028_stands_in_for_the_web_side(problem: DriverError) -> None:
    machine = machine_of()
    driver = driver_of(machine)
    await driver.identify()
    machine.fails = problem
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    assert (reading.state, reading.hashrate_ths) == (State.MINING, 103.0005)
    assert reading.missing[-1].startswith(f"web: {type(problem).__name__}")
    assert reading.device_id == ID


async def test_a_web_side_that_is_closed_rests() -> None:
    machine = machine_of()
    driver = driver_of(machine)
    machine.fails = Unreachable("refused")
    await driver.read()
    later(machine, 10)
    await driver.read()
    assert "web fails" not in machine.asked
    machine.fails = None
    later(machine, 300)
    assert (await driver.read()).reading.missing == ()


async def test_both_sides_silent() -> None:
    driver = driver_of(Machine({}))
    for _ in range(2):
        for act in (driver.identify, driver.read):
            with pytest.raises(Unreachable):
                await act()


async def test_a_web_side_alone() -> None:
    machine = machine_of()
    del machine.recording["rpc"]
    driver = driver_of(machine)
    assert (await driver.identify()).id == ID
    assert (await driver.read()).reading.state is State.MINING
    machine.fails = Unreachable("booting")
    with pytest.raises(Unreachable):
        await driver.read()
    machine.fails = None
    later(machine, 10)
    assert (await driver.read()).reading.state is State.MINING


async def test_a_summary_without_a_miner_falls_back_on_the_status() -> None:
    machine = machine_of()
    machine.recording["web"]["/api/v1/summary"] = {}
    machine.recording["web"]["/api/v1/status"]["miner_state"] = "starting"
    assert (await driver_of(machine).read()).reading.state is State.STARTING


async def test_another_machine_does_not_inherit() -> None:
    machine = machine_of()
    driver = driver_of(machine)
    before = (await driver.read()).reading
    later(machine, 10)
    miner = machine.recording["web"]["/api/v1/summary"]["miner"]
    miner["pools"][0]["user"] = "farm.other"
    for name in ("perf-summary", "status", "chains/factory-info"):
        del machine.recording["web"][f"/api/v1/{name}"]
    after = (await driver.read()).reading
    assert isinstance(before, MinerReading)
    assert isinstance(after, MinerReading)
    assert before.boards[0].serial == "TESTVN00001"
    assert (after.boards[0].serial, after.locating) == (None, None)


# --- hostile answers -----------------------------------------------------------------------

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["inf", "1e999", "9" * 400, [], {}, [[]], [{}], {"max": []}, "\ud800"]),
)
MINER = summary()["miner"]
CHAIN = MINER["chains"][0]


@given(
    st.dictionaries(st.sampled_from([*MINER]), ODD),
    st.dictionaries(st.sampled_from([*CHAIN]), ODD),
    st.lists(ODD, max_size=3),
    st.dictionaries(st.sampled_from(["name", "pretty", "modded_psu_required", "miner"]), ODD),
)
def test_nothing_makes_parsing_raise(
    changes: dict[str, Any], chain: dict[str, Any], others: list[Any], odd: dict[str, Any]
) -> None:
    pages = {
        "info": odd | {"hr_measure": others},
        "settings": {"miner": {"overclock": odd}},
        "perf-summary": {"current_preset": odd},
        "autotune/presets": [odd, *others],
        "status": odd,
        "chains/factory-info": {"chains": [odd | {"id": 1, "serial": 5}, *others]},
    }
    settings = parse_settings(pages)
    miner = MINER | {"chains": [*others, CHAIN | chain]}
    for page in ({"miner": miner | changes}, {"miner": miner}, odd, *others):
        msgspec.json.encode(parse_summary(page, ID, NOW, settings))
    body = {f"chain_acn{at}": 5 for at in (1, 2)} | {"state": odd, "GHS 5s": others} | chain
    report = Report({"stats": {"STATS": [odd, body]}, "pools": {"POOLS": [odd, *others]}})
    msgspec.json.encode(parse_rpc(report, ID, NOW, settings))
    parse_identity({"VERSION": [odd]}, odd | {"system": odd}, odd, "asic-at-10.0.0.1")


def test_long_lists_are_bounded() -> None:
    page = summary(chains=[CHAIN | {"status": {"state": "failure"}}] * 3000)
    page["miner"]["pools"] *= 3000
    page["miner"]["cooling"]["fans"] *= 3000
    reading = read(page)
    assert len(reading.boards) <= 64
    assert len(reading.fans) <= 32
    assert len(reading.pools) <= 16
    assert len(reading.faults) <= 64


@needs_captures
def test_the_recorded_refusal_is_one() -> None:
    with pytest.raises(DriverError):
        checked(s21_pro()["rpc"]["version"])
