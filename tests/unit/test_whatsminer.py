"""Whatsminers over port 4028: recorded machines, traps, states, what is asked how often."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.asic.whatsminer.answers import Seen, parse
from drivers.asic.whatsminer.driver import Whatsminer
from drivers.asic.whatsminer.shapes import parse_identity
from drivers.asic.whatsminer.types import faults_of, model_name, sentence, whole
from drivers.errors import BadReply, DriverError, Refused
from drivers.model import Fan, MinerReading, PowerSource, State
from drivers.wire.cgminer import Report, decode
from tests.replay import NOW, Replay
from tests.unit.test_fixtures import FIXTURES, load

CAPTURES = Path(__file__).parents[2].parent / "shared" / "captures" / "asic-rs"
NAMES = (
    "MicroBT_M20SV10_stock-v1.json",
    "MicroBT_M20SV10_stock-v1-errors.json",
    "MicroBT_M50SVH50_stock-v2.json",
    "MicroBT_M50SVH50_stock-v2-errors.json",
)
RECORDED = [CAPTURES / name for name in NAMES if (CAPTURES / name).exists()]
MINING = load(next(path for path in FIXTURES if path.stem == "whatsminer-mining"))
RPC: dict[str, Any] = MINING["rpc"]
UNKNOWN = {"STATUS": "E", "When": 1, "Code": 14, "Msg": "invalid cmd", "Description": ""}
DOWN = "Socket connect failed: Connection refused\n"


def miner(sample: Any) -> MinerReading:
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


def changed(**answers: Any) -> dict[str, Any]:
    """The healthy machine with other answers to some commands; None is a command not known."""
    rpc = {**RPC, **answers}
    return {name: UNKNOWN if answer is None else answer for name, answer in rpc.items()}


def summary(**fields: Any) -> dict[str, Any]:
    row = RPC["summary"]["SUMMARY"][0]
    return {**RPC["summary"], "SUMMARY": [{**row, **fields}]}


def msg(content: Any) -> dict[str, Any]:
    return {"STATUS": "S", "When": 1, "Code": 131, "Msg": content, "Description": ""}


async def read(rpc: dict[str, Any], *, joins: bool = False) -> tuple[MinerReading, Replay]:
    replay = Replay({"rpc": rpc, "joins": joins})
    driver = Whatsminer(replay.endpoint, replay.context())
    await driver.identify()
    replay.asked.clear()
    return miner(await driver.read()), replay


# --- recorded machines -----------------------------------------------------------------------


@pytest.mark.skipif(not RECORDED, reason="no captures of real machines beside the repository")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_a_recorded_machine(path: Path) -> None:
    capture = load(path)
    rpc, expected = capture["rpc"], capture["expected"]
    row = rpc["summary"]["SUMMARY"][0]
    replay = Replay({"rpc": rpc})
    finding = await replay.probe()
    assert finding.driver_name == "whatsminer", finding.evidence
    identity = finding.identity
    assert (identity.make, identity.firmware) == ("MicroBT", "stock")
    # The capture has no `devdetails`, which is where the type stands: nothing is said of it.
    assert identity.model is None
    assert identity.firmware_version == rpc["get_version"]["Msg"]["fw_ver"]
    assert identity.mac == row["MAC"].lower()
    reading = miner(await finding.driver.read())
    assert reading.missing == ()
    assert reading.state is State.MINING
    assert reading.hashrate_avg_ths == pytest.approx(row["MHS av"] / 1e6)
    # `expected` takes HS RT, which in this answer has all the digits of `MHS 5m`: the mean of five
    # minutes. Ours is the shortest window, `MHS 5s` (70.67 against 67.39 TH/s on the M20S).
    shortest = row.get("MHS 5s", row["HS RT"])
    assert reading.hashrate_ths == pytest.approx(shortest / 1e6)
    if "hashrate" in expected and "MHS 5s" not in row:
        assert reading.hashrate_ths == expected["hashrate"]["value"]
    assert reading.hashrate_nominal_ths == row["Factory GHS"] / 1e3
    # The supply's answer has no `pin`: of unknown making.
    assert (reading.power_w, reading.power_source) == (row["Power"], PowerSource.REPORTED)
    assert reading.power_limit_w == row["Power Limit"]
    assert reading.mode == "normal"
    assert reading.uptime_s == row["Elapsed"]
    assert reading.inlet_temp_c == row.get("Env Temp")
    assert reading.chip_temp_max_c == row["Chip Temp Max"]
    assert reading.fans == (Fan(0, row["Fan Speed In"]), Fan(1, row["Fan Speed Out"]))
    assert (reading.shares_accepted, reading.shares_rejected) == (row["Accepted"], 0)
    for board, said in zip(reading.boards, rpc["devs"]["DEVS"], strict=True):
        assert (board.index, board.serial) == (said["Slot"], said["PCB SN"])
        assert board.hashrate_ths == pytest.approx(said.get("MHS 5s", said["MHS av"]) / 1e6)
        assert board.chips == said["Effective Chips"]
        assert board.board_temp_c == said["Temperature"]
        assert board.chip_temp_c == said["Chip Temp Max"]
        assert board.frequency_mhz == said["Chip Frequency"]
        assert board.hw_errors == said.get("Hardware Errors")
    for pool, said in zip(reading.pools, rpc["pools"]["POOLS"], strict=True):
        assert (pool.url, pool.user, pool.status) == (said["URL"], said["User"], "Alive")
        assert (pool.active, pool.accepted) == (said["Stratum Active"], said["Accepted"])
    if "messages.len()" in expected:
        codes = [expected[f"messages[{at}].code"] for at in range(expected["messages.len()"])]
        assert [int(fault.code or 0) for fault in reading.faults] == codes
    else:
        assert reading.faults == ()
    if "wattage" in expected:
        assert reading.power_w == expected["wattage"]["value"]
        assert reading.hashrate_nominal_ths == expected["expected_hashrate"]["value"]
        assert reading.uptime_s == expected["uptime"]["value"]
        assert len(reading.fans) == expected["fans.len()"]
        assert len(reading.pools) == expected["pools[0].len()"]


# --- who it is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("M30S+VE40_", "Whatsminer M30S+ VE40"),
        ("M30S+_VE41", "Whatsminer M30S+ VE41"),
        ("M30S++_VH95", "Whatsminer M30S++ VH95"),
        ("M20SV10", "Whatsminer M20S V10"),
        ("M20S_V10", "Whatsminer M20S V10"),
        ("m56s++vk30", "Whatsminer M56S++ VK30"),
        ("M7BS_VM30", "Whatsminer M7BS VM30"),
        ("M60 VK6A", "Whatsminer M60 VK6A"),
        ("WhatsMiner M50S_VH55.H616-CB6V10", "Whatsminer M50S VH55"),
        ("M31SE_V10", "Whatsminer M31SE V10"),
        ("M30S+_V100", "Whatsminer M30S+ V100"),
        ("M3", "Whatsminer M3"),
        ("D1", "D1"),
        ("Mine", "Mine"),
        ("", None),
        (None, None),
    ],
)
def test_types_as_firmware_writes_them(said: str | None, name: str | None) -> None:
    assert model_name(said) == name


def test_what_a_type_has() -> None:
    assert whole("Whatsminer M30S++ VH40") == (3, 70)
    assert whole("Whatsminer M30S++ VH95") == whole("Whatsminer M30S++ VH90") == (3, 78)
    assert whole("Whatsminer M60 VK6A") == (3, 172)
    assert whole("Whatsminer M3") == whole("D1") == whole(None) == (None, None)


def test_the_version_may_be_a_sentence() -> None:
    answers = {
        "get_version": msg("whatsminer v1.1"),
        "status": msg({"Firmware Version": "'20190101.15.REL'"}),
    }
    identity = parse_identity(answers, "asic-at-10.0.0.1")
    assert identity.firmware_version == "20190101.15.REL"
    assert identity.provisional
    assert parse_identity({"get_version": msg("x")}, "asic-at-10.0.0.1").firmware_version is None


async def test_identify_raises_only_where_nothing_answers() -> None:
    replay = Replay({"rpc": {"devdetails": RPC["devdetails"]}})
    driver = Whatsminer(replay.endpoint, replay.context())
    assert (await driver.identify()).model == "Whatsminer M30S+ VE41"
    with pytest.raises(Refused):
        replay = Replay({"rpc": {}})
        await Whatsminer(replay.endpoint, replay.context()).identify()


# --- traps -----------------------------------------------------------------------------------


async def test_power_is_metered_only_where_the_supply_shows_the_same() -> None:
    for pin, source in (
        ("3316", PowerSource.METERED),
        ("2000", PowerSource.REPORTED),
        ("0", PowerSource.REPORTED),
        ("-1", PowerSource.REPORTED),
        (None, PowerSource.REPORTED),
    ):
        reading, _ = await read(changed(get_psu=msg({"pin": pin, "vin": "22225"})))
        assert (reading.power_w, reading.power_source) == (3312.0, source)
    reading, _ = await read(changed(summary=summary(Power=-1)))
    assert (reading.power_w, reading.power_source) == (3316.0, PowerSource.METERED)
    reading, _ = await read(changed(summary=summary(Power=-1), get_psu=None))
    assert (reading.power_w, reading.power_source) == (None, None)


@pytest.mark.parametrize("form", ["row", "msg", "status"])
async def test_the_summary_in_each_of_its_places(form: str) -> None:
    row = RPC["summary"]["SUMMARY"][0]
    answer = {
        "row": RPC["summary"],
        "msg": msg(row),
        "status": {"STATUS": [{"STATUS": "S", "Code": 131, "Msg": row}]},
    }[form]
    reading, _ = await read(changed(summary=answer))
    assert (reading.hashrate_ths, reading.power_w) == (100.80000075, 3312.0)


@pytest.mark.parametrize("scale", [1, 1e-6])
async def test_boards_in_either_unit_while_ramping_up(scale: float) -> None:
    """An early ramp makes small numbers: the summary beside them tells the unit."""
    rates = {"MHS av": 900.0, "MHS 5s": 90000.0, "MHS 1m": 4000.0, "HS RT": 4000.0}
    boards = [
        {**row, **{key: rate / 3 * scale for key, rate in rates.items()}}
        for row in RPC["devs"]["DEVS"]
    ]
    reading, _ = await read(changed(summary=summary(**rates), devs={**RPC["devs"], "DEVS": boards}))
    assert reading.hashrate_ths == pytest.approx(0.09)
    assert [board.hashrate_ths for board in reading.boards] == [pytest.approx(0.03)] * 3


async def test_edevs_where_devs_is_not_known_and_that_is_remembered() -> None:
    rpc = changed(devs=None, edevs=RPC["devs"])
    replay = Replay({"rpc": rpc, "joins": True})
    driver = Whatsminer(replay.endpoint, replay.context())
    assert len(miner(await driver.read()).boards) == 3
    assert "rpc edevs" in replay.asked
    replay.asked.clear()
    replay.at += 10
    reading = miner(await driver.read())
    assert (len(reading.boards), reading.missing) == (3, ())
    assert "rpc summary+edevs+pools" in replay.asked


def test_fans_that_stand_are_fans_only_where_the_machine_complains() -> None:
    still = {"summary": summary(**{"Fan Speed In": 0, "Fan Speed Out": 0})}
    assert miner(parse(Report(still), "asic-x", NOW)).fans == ()
    broken = miner(parse(Report(still), "asic-x", NOW, Seen(errors=[{"110": ""}])))
    assert broken.fans == (Fan(0, 0), Fan(1, 0))
    one = {"summary": summary(**{"Fan Speed In": 0, "Fan Speed Out": 4000})}
    assert miner(parse(Report(one), "asic-x", NOW)).fans == (Fan(0, 0), Fan(1, 4000))


def test_an_answer_with_numbers_as_words() -> None:
    words = {key: str(value) for key, value in RPC["summary"]["SUMMARY"][0].items()}
    reading = miner(parse(Report({"summary": summary(**words)}), "asic-x", NOW))
    assert (reading.hashrate_ths, reading.power_w) == (100.80000075, 3312.0)
    assert reading.state is State.MINING


def test_a_board_that_is_gone_leaves_its_place() -> None:
    boards = [row for row in RPC["devs"]["DEVS"] if row["Slot"] != 1]
    report = Report({**RPC, "devs": {**RPC["devs"], "DEVS": boards}})
    reading = miner(parse(report, "asic-x", NOW, Seen(model="Whatsminer M30S+ VE40")))
    assert [(board.index, board.chips) for board in reading.boards] == [
        (0, 156),
        (1, None),
        (2, 156),
    ]
    assert [fault.message for fault in reading.faults] == ["Hash board 1 does not answer."]
    # Of an unknown type nobody can say that one is missing.
    assert len(miner(parse(report, "asic-x", NOW)).boards) == 2


# --- errors ----------------------------------------------------------------------------------


def test_error_codes_in_all_forms() -> None:
    codes = [110, "111", {"218": "2024-06-15 10:30:00"}, {"532": "", "reason": "Slot2 not found."}]
    found = faults_of(codes, {"329": "2024-06-15 10:30:00"}, None, "", 0, -1, True, 4.5)
    assert [fault.code for fault in found] == ["110", "111", "218", "532", "329"]
    assert found[2].message.endswith("(device time 2024-06-15 10:30:00)")
    assert all(fault.at is None for fault in found)  # no time zone is said
    assert faults_of("btminer process is down err")[0].message == "btminer process is down err"
    assert faults_of([{"110": "a"}, {"110": "b"}, 110]) == faults_of([{"110": "a"}])
    unknown = faults_of([{"77777": "2024-06-15 10:30:00", "reason": "Odd."}, 66666])
    assert [fault.message for fault in unknown] == [
        "Odd. (device time 2024-06-15 10:30:00)",
        "The machine reports error 66666.",
    ]


def test_a_list_written_like_an_object() -> None:
    """API 2.0.4, from a real device: `["329":"date"]`."""
    raw = b'{"STATUS":"S","Code":131,"Msg":{"error_code":["329":"2024-06-15 10:30:00"]}}'
    found = faults_of(decode(raw).reply["Msg"]["error_code"])
    assert [fault.code for fault in found] == ["329"]


def test_an_answer_cut_off_amid_hundreds_of_errors() -> None:
    entries = ",".join(f'{{"{code}":"2024-06-15 10:30:00"}}' for code in range(110, 700))
    raw = f'{{"STATUS":"S","Code":131,"Msg":{{"error_code":[{entries}'.encode()[:4000]
    answer = decode(raw)
    assert answer.cut
    found = faults_of(answer.reply["Msg"]["error_code"])
    assert len(found) == 64
    assert found[0].code == "110"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("110", "The intake fan does not turn at the speed it should."),
        ("541", "Hash board 1: its chips do not tell their numbers."),
        ("329", "The control board's temperature sensor does not answer."),
        ("2022", "Pool 2 cannot be reached."),
        ("5112", "Hash board 2 took too long to reach its frequency."),
        ("8512", "The fan speed misses the standard of level 1."),
        ("531042", "Hash board 1, chip 42: too few nonces."),
        ("100001", "A signature of the firmware is not genuine."),
        ("12", None),
        ("31", None),
        ("4711", None),
    ],
)
def test_sentences(code: str, words: str | None) -> None:
    assert sentence(code) == words


def test_error_codes_of_api_1_are_counted_by_the_device() -> None:
    fields = {"Error Code Count": 2, "Error Code 0": 110, "Error Code 1": "2010", "Error Code 2": 5}
    reading = miner(parse(Report({"summary": summary(**fields)}), "asic-x", NOW))
    assert [fault.code for fault in reading.faults] == ["110", "2010"]
    for count in (-1, 10**9, "many", None):
        fields["Error Code Count"] = count
        parse(Report({"summary": summary(**fields)}), "asic-x", NOW)


# --- states ----------------------------------------------------------------------------------

STILL = dict.fromkeys(("MHS av", "MHS 5s", "MHS 1m", "MHS 5m", "MHS 15m", "HS RT"), 0)
DEAD_POOLS = {**RPC["pools"], "POOLS": [{**row, "Status": "Dead"} for row in RPC["pools"]["POOLS"]]}


@pytest.mark.parametrize(
    ("fields", "status", "pools", "state"),
    [
        ({}, "false", None, State.MINING),
        (STILL, "true", None, State.SLEEPING),
        (STILL, "false", None, State.FAULT),
        (STILL, "false", DEAD_POOLS, State.IDLE),
        ({**STILL, "Elapsed": 100}, "false", None, State.STARTING),
        ({**STILL, "Upfreq Complete": 0}, "false", None, State.STARTING),
        ({**STILL, "Upfreq Complete": 0, "Elapsed": 90_000}, "false", None, State.FAULT),
        ({**STILL, "Upfreq Complete": 0}, "false", DEAD_POOLS, State.IDLE),
        ({"Upfreq Complete": 0, "Elapsed": 1500}, "false", None, State.STARTING),
        ({"Upfreq Complete": 0, "Elapsed": 90_000}, "false", None, State.MINING),
    ],
)
async def test_states(fields: dict[str, Any], status: str, pools: Any, state: State) -> None:
    young = {"Elapsed": 5000} | fields
    answers = {"summary": summary(**young), "status": msg({"btmineroff": status})}
    reading, _ = await read(changed(**answers, **({"pools": pools} if pools else {})))
    assert reading.state is state


def test_ramping_where_only_boards_or_the_rate_tell() -> None:
    def state(board: dict[str, Any], **fields: Any) -> State:
        row = {k: v for k, v in RPC["summary"]["SUMMARY"][0].items() if k != "Upfreq Complete"}
        boards = [RPC["devs"]["DEVS"][0], {**RPC["devs"]["DEVS"][1], **board}]
        replies = {
            "summary": {**RPC["summary"], "SUMMARY": [{**row, "Elapsed": 3000, **fields}]},
            "devs": {**RPC["devs"], "DEVS": boards},
        }
        return miner(parse(Report(replies), "asic-x", NOW)).state

    assert state({}) is State.MINING
    assert state({"Upfreq Complete": 0}) is State.STARTING
    # A board without chips never finishes: it does not hold the machine back.
    assert state({"Upfreq Complete": 0, "Effective Chips": 0}) is State.MINING
    replies = {
        "summary": summary(**{"Upfreq Complete": None, "Hash Stable": "false", "Elapsed": 9})
    }
    assert miner(parse(Report(replies), "asic-x", NOW)).state is State.STARTING


async def test_the_mining_program_is_down() -> None:
    """Then the daemon alone answers: `status` and the `get_*`."""
    gone = {"summary": DOWN, "devs": DOWN, "pools": DOWN, "summary+devs+pools": DOWN}
    reading, replay = await read(changed(**gone, status=msg({"mineroff": "true"})))
    assert (reading.state, reading.hashrate_ths, reading.boards) == (State.SLEEPING, None, ())
    assert reading.missing
    errors = msg({"error_code": [{"200": "2026-01-01 00:00:00"}]})
    reading, replay = await read(changed(**gone, get_error_code=errors))
    assert reading.state is State.FAULT
    assert [fault.code for fault in reading.faults] == ["200"]
    assert replay.asked[-2:] == ["rpc status", "rpc get_error_code"]
    with pytest.raises((BadReply, Refused)):
        await read(changed(**gone, status=None))


# --- what is asked how often -----------------------------------------------------------------


async def test_one_connection_a_poll_where_commands_join() -> None:
    replay = Replay(MINING)
    driver = Whatsminer(replay.endpoint, replay.context())
    await driver.identify()
    assert "rpc status" not in replay.asked  # type and build were known without
    replay.asked.clear()
    first = miner(await driver.read())
    aside = ["rpc status", "rpc get_error_code", "rpc get_psu", "rpc get_miner_info"]
    assert replay.asked == ["rpc summary+devs+pools", *aside]
    row = RPC["summary"]["SUMMARY"][0]
    for step in range(1, 31):
        replay.asked.clear()
        replay.at = NOW + 10 * step
        joined = summary(Elapsed=row["Elapsed"] + 10 * step)
        replay.recording = {**MINING, "rpc": {**RPC, "summary": joined}}
        reading = miner(await driver.read())
        due = step == 30
        assert replay.asked == ["rpc summary+devs+pools", *(aside if due else [])]
        assert reading.power_source is first.power_source is PowerSource.METERED
        assert reading.pools_at is None


async def test_pools_now_and_then_where_commands_do_not_join() -> None:
    replay = Replay({"rpc": RPC})
    driver = Whatsminer(replay.endpoint, replay.context())
    await driver.read()
    for step, asked in ((10, 2), (20, 2), (50, 3)):
        replay.asked.clear()
        replay.at = NOW + step
        replay.recording = {"rpc": {**RPC, "summary": summary(Elapsed=86400 + step)}}
        reading = miner(await driver.read())
        assert len(replay.asked) == asked, replay.asked
        assert len(reading.pools) == 2
        assert (reading.pools_at is None) is (asked == 3)


async def test_a_stopped_machine_is_asked_why_at_each_poll_and_no_more() -> None:
    sleeping = load(next(path for path in FIXTURES if path.stem == "whatsminer-sleeping"))
    replay = Replay({**sleeping, "joins": True})
    driver = Whatsminer(replay.endpoint, replay.context())
    await driver.read()
    for step in (10, 20, 30):
        replay.asked.clear()
        replay.at = NOW + step
        assert miner(await driver.read()).state is State.SLEEPING
        assert replay.asked == ["rpc summary+devs+pools", "rpc status"]


async def test_a_machine_that_hashes_again_is_not_asleep_by_an_old_word() -> None:
    status = msg({"mineroff": "true"})
    replay = Replay({"rpc": changed(summary=summary(**STILL), status=status), "joins": True})
    driver = Whatsminer(replay.endpoint, replay.context())
    assert miner(await driver.read()).state is State.SLEEPING
    replay.at += 10
    replay.recording = {
        "rpc": changed(summary=summary(Elapsed=86410), status=status),
        "joins": True,
    }
    assert miner(await driver.read()).state is State.MINING


async def test_what_another_machine_said_is_not_kept() -> None:
    replay = Replay(MINING)
    driver = Whatsminer(replay.endpoint, replay.context())
    await driver.read()
    replay.at += 10
    other = summary(MAC="02:57:4D:00:00:99", Elapsed=50)
    replay.recording = {**MINING, "rpc": changed(summary=other, get_psu=None)}
    sample = await driver.read()
    assert miner(sample).power_source is PowerSource.REPORTED
    assert "02:57:4D:00:00:99" in sample.fingerprint.traits


# --- hostile answers -------------------------------------------------------------------------

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["0", "-1", "nan", "inf", "1e400", 10**400, "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["STATUS", "Msg", "110", "reason", "SUMMARY"]), inner)
    ),
    max_leaves=8,
)


def mutate(value: Any, data: st.DataObject) -> Any:
    """The value with some of its parts dropped or put in the place of something else."""
    if data.draw(st.integers(0, 19)) == 0:
        return data.draw(JUNK)
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if data.draw(st.integers(0, 9))}
        return {k: mutate(v, data) for k, v in kept.items()}
    return [mutate(each, data) for each in value] if isinstance(value, list) else value


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_answer_makes_parsing_fail(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([p for p in FIXTURES if p.stem.startswith("whatsminer-")]))
    rpc = mutate(load(path)["rpc"], data)
    replies = (
        {name: reply for name, reply in rpc.items() if isinstance(reply, dict)}
        if (isinstance(rpc, dict))
        else {}
    )
    errors = replies.get("get_error_code", {}).get("Msg")
    seen = Seen(
        status=status if isinstance(status := replies.get("status", {}).get("Msg"), dict) else {},
        errors=errors.get("error_code") if isinstance(errors, dict) else errors,
        model=data.draw(st.sampled_from([None, "Whatsminer M30S+ VE40"])),
    )
    sample = parse(Report(replies), "asic-x", NOW, seen)
    msgspec.json.encode(sample)
    reading = miner(sample)
    assert len(reading.boards) <= 64
    assert len(reading.faults) <= 64
    assert len(reading.pools) <= 16
    msgspec.json.encode(parse_identity(replies, "asic-at-10.0.0.1"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_machine_makes_the_driver_fail_otherwise(data: st.DataObject) -> None:
    rpc = mutate(RPC, data)
    replay = Replay(
        {"rpc": rpc if isinstance(rpc, dict) else {}, "joins": data.draw(st.booleans())}
    )

    async def use() -> None:
        driver = Whatsminer(replay.endpoint, replay.context())
        for step in (0, 10, 60, 400):
            replay.at = NOW + step
            with suppress(DriverError):
                await (driver.identify() if step == 60 else driver.read())

    asyncio.run(use())


def test_megabytes_of_errors_are_bounded() -> None:
    codes = [{str(code): "x" * 50} for code in range(100, 999)] * 100
    assert len(faults_of(codes)) == 64
    assert len(faults_of({str(code): "" for code in range(100, 999_999)})) == 64
    assert len(faults_of([str(at) * 3 + " words" for at in range(10_000)])) == 64
