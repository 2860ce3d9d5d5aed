"""Whatsminers in frames: a recorded machine, shapes, states, what is asked how often, hostility."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.asic.whatsminer.v3 import Whatsminer3
from drivers.asic.whatsminer.v3_answers import parse
from drivers.asic.whatsminer.v3_shapes import (
    BOARDS,
    INFO,
    POOLS,
    SUMMARY,
    Info,
    as_dict,
    parse_identity,
)
from drivers.errors import (
    AccessDenied,
    BadReply,
    DeviceTimeout,
    DriverError,
    Refused,
    Unreachable,
    Unsupported,
)
from drivers.model import Fan, MinerReading, PowerSource, State
from drivers.wire import framed
from drivers.wire.cgminer import Report
from drivers.wire.framed import FramedRpc, Question
from tests.replay import NOW, Replay, as_bytes
from tests.unit.test_fixtures import FIXTURES, load
from tests.unit.test_whatsminer import mutate

CAPTURES = Path(__file__).parents[2].parent / "shared" / "captures" / "asic-rs"
RECORDED = CAPTURES / "MicroBT_M60SVK40_stock-v3.json"
MINING = load(next(path for path in FIXTURES if path.stem == "whatsminer3-mining"))
FRAMED: dict[str, Any] = MINING["framed"]
POLL = [f"framed {SUMMARY}", f"framed {BOARDS}"]
ASIDE = [f"framed {POOLS}", f"framed {INFO}", "framed get.miner.setting"]


def miner(sample: Any) -> MinerReading:
    assert isinstance(sample.reading, MinerReading)
    return sample.reading


def summary(**fields: Any) -> dict[str, Any]:
    row = {**FRAMED[SUMMARY]["msg"]["summary"], **fields}
    return {"code": 0, "when": 1, "msg": {"summary": row}, "desc": "get.miner.status"}


def info(**sections: Any) -> dict[str, Any]:
    """The device's information with changes to fields of its objects."""
    content = dict(FRAMED[INFO]["msg"])
    for name, fields in sections.items():
        content[name] = {**content[name], **fields} if isinstance(fields, dict) else fields
    return {**FRAMED[INFO], "msg": content}


def driver_of(replay: Replay) -> Whatsminer3:
    return Whatsminer3(replay.endpoint, replay.context())


async def read(**answers: Any) -> MinerReading:
    return miner(await driver_of(Replay({"framed": {**FRAMED, **answers}})).read())


@pytest.mark.skipif(not RECORDED.exists(), reason="no captures beside the repository")
async def test_the_recorded_machine() -> None:
    capture = load(RECORDED)
    rpc, expected = capture["rpc"], capture["expected"]
    finding = await Replay({"framed": rpc}).probe()
    assert finding.driver_name == "whatsminer3", finding.evidence
    said, identity = rpc[INFO]["msg"], finding.identity
    assert identity.model == "Whatsminer M60S VK40"  # said as M60S_VK40
    assert (identity.make, identity.firmware) == ("MicroBT", "stock")
    assert identity.firmware_version == expected["firmware_version"]
    assert identity.serial == said["miner"]["miner-sn"]
    assert identity.mac == expected["mac"].lower()
    assert identity.hostname == expected["hostname"]
    reading, row = miner(await finding.driver.read()), rpc[SUMMARY]["msg"]["summary"]
    assert (reading.missing, reading.state) == ((), State.MINING)
    assert reading.hashrate_ths == row["hash-realtime"] == expected["hashrate"]["value"]
    assert reading.hashrate_avg_ths == row["hash-average"]
    assert reading.hashrate_nominal_ths == expected["expected_hashrate"]["value"]
    assert reading.power_w == row["power-realtime"] == expected["wattage"]["value"]
    assert reading.power_source is PowerSource.REPORTED  # its supply says no `pin`
    assert reading.power_limit_w == row["power-limit"] == 3600
    assert reading.efficiency_j_th == row["power-rate"]
    assert reading.uptime_s == row["elapsed"] == expected["uptime"]["value"]
    assert reading.inlet_temp_c == row["environment-temperature"]
    assert reading.chip_temp_max_c == row["chip-temp-max"]
    assert reading.fans == (Fan(0, row["fan-speed-in"]), Fan(1, row["fan-speed-out"]))
    assert reading.mode is None  # `power.mode` is a number that no manual explains
    assert reading.locating is False
    edevs = rpc[BOARDS]["msg"]["edevs"]
    for board, row_of in zip(reading.boards, edevs, strict=True):
        assert board.serial == said["miner"][f"pcbsn{row_of['id']}"]
        assert board.hashrate_ths == row_of["hash-realtime"]
        assert board.hashrate_nominal_ths == row_of["factory-hash"]
        # The capture's status answers are made up: 75 chips are a third of the board's 225.
        assert (board.chips, board.chips_expected) == (row_of["effective-chips"], 225)
        assert board.board_temp_c == row["board-temperature"][board.index]
        assert board.chip_temp_c == row_of["chip-temp-max"]
    assert len(reading.pools) == expected["pools[0].len()"]
    assert [pool.active for pool in reading.pools] == [True, False, False]
    # What the boards were rated at, from the real half of the capture, in GH/s.
    rated = Info(sections=said)
    alone = miner(parse(Report({}), "asic-x", NOW, rated))
    assert alone.hashrate_nominal_ths == 181.051


# --- identification --------------------------------------------------------------------------


async def test_the_framed_port_goes_before_4028_of_the_same_machine() -> None:
    replay = Replay(MINING)
    finding = await replay.probe()
    assert finding.driver_name == "whatsminer3"
    assert "rpc devdetails" in replay.asked  # it was asked, and shows a Whatsminer
    assert any("API 1 and 2" in line for line in finding.evidence)


async def test_the_framed_port_alone_is_enough() -> None:
    finding = await Replay({"framed": FRAMED}).probe()
    assert (finding.driver_name, finding.identity.serial) == (
        "whatsminer3",
        "WTESTMINER0000000000000009",
    )


async def test_a_refused_or_empty_identity() -> None:
    with pytest.raises(Refused):
        await driver_of(Replay({"framed": {}})).identify()
    contents: tuple[Any, ...] = ({}, "a sentence", [], None)
    for content in contents:
        replay = Replay({"framed": {INFO: {"code": 0, "msg": content}}})
        identity = await driver_of(replay).identify()
        assert identity.provisional
        assert (identity.make, identity.model, identity.algorithm) == ("MicroBT", None, None)


# --- values ----------------------------------------------------------------------------------


async def test_power_is_metered_only_where_the_supply_shows_the_same() -> None:
    assert (await read()).power_source is PowerSource.METERED
    reading = await read(**{INFO: info(power={"pin": 1000})})
    assert (reading.power_w, reading.power_source) == (3268.0, PowerSource.REPORTED)
    reading = await read(**{INFO: info(power={"pin": None})})
    assert (reading.power_w, reading.power_source) == (3268.0, PowerSource.REPORTED)
    reading = await read(**{SUMMARY: summary(**{"power-realtime": -1})})
    assert (reading.power_w, reading.power_source) == (3264.0, PowerSource.METERED)


@pytest.mark.parametrize(
    ("said", "ths"),
    [
        ("33231:34095:34306:", 101.632),
        ("33780:33484:34102:0", 101.366),
        ("-1:-1:-1", None),
        ("33231:-1:34306", None),
        ("0:0", None),
        ("what", None),
        ("", None),
        (None, None),
        (7, 0.007),
    ],
)
async def test_what_the_boards_were_rated_at(said: Any, ths: float | None) -> None:
    reading = await read(
        **{
            SUMMARY: summary(**{"factory-hash": -0.003}),
            INFO: info(miner={"detect-hash-rate": said}),
        }
    )
    assert reading.hashrate_nominal_ths == ths


async def test_misspelt_temperatures() -> None:
    fields = {
        "environment-temperature": None,
        "board-temperature": None,
        "environment-tempurature": 31.5,
        "board-tempurature": [60, 61, 62],
    }
    row = {k: v for k, v in summary(**fields)["msg"]["summary"].items() if v is not None}
    reading = await read(**{SUMMARY: {"code": 0, "msg": {"summary": row}}})
    assert reading.inlet_temp_c == 31.5
    assert [board.board_temp_c for board in reading.boards] == [60, 61, 62]


@pytest.mark.parametrize(
    ("working", "fields", "errors", "state"),
    [
        ("true", {}, [], State.MINING),
        ("true", {"up-freq-finish": 0, "elapsed": 900}, [], State.STARTING),
        ("true", {"up-freq-finish": 0, "elapsed": 90_000}, [], State.MINING),
        ("true", {"hash-realtime": 0, "elapsed": 900}, [], State.FAULT),
        ("true", {"hash-realtime": 0, "elapsed": 90}, [], State.STARTING),
        ("false", {"hash-realtime": 0}, [], State.SLEEPING),
        ("false", {"hash-realtime": 0}, [{"2010": ""}], State.SLEEPING),
        ("false", {"hash-realtime": 0}, [{"531": ""}], State.FAULT),
        (None, {"hash-realtime": 0, "elapsed": 90_000}, [], State.FAULT),
    ],
)
async def test_states(working: Any, fields: dict[str, Any], errors: Any, state: State) -> None:
    told = info(miner={"working": working}, **{"error-code": errors})
    assert (await read(**{SUMMARY: summary(**fields), INFO: told})).state is state


async def test_no_pool_is_idle() -> None:
    pools = [{**row, "status": "dead"} for row in FRAMED[POOLS]["msg"]["pools"]]
    reading = await read(
        **{
            POOLS: {"code": 0, "msg": {"pools": pools}},
            SUMMARY: summary(**{"hash-realtime": 0.0, "up-freq-finish": 0}),
        }
    )
    assert reading.state is State.IDLE


# --- what is asked how often -----------------------------------------------------------------


class Frames(Replay):
    """A machine that closes after so many answers, or falls silent there."""

    takes = 99
    silent = False

    async def converse(
        self, address: str, port: int, requests: Sequence[bytes], **more: Any
    ) -> list[bytes]:
        answers = await super().converse(address, port, requests[: self.takes], **more)
        if self.silent and len(requests) > self.takes:
            raise DeviceTimeout("silent")
        return answers


async def test_one_connection_a_poll() -> None:
    replay = Replay(MINING)
    driver = driver_of(replay)
    await driver.identify()
    for step in range(31):
        replay.asked.clear()
        replay.connections = 0
        replay.at = NOW + 10 * step
        rows = {**FRAMED, SUMMARY: summary(elapsed=10740 + 10 * step)}
        replay.recording = {"framed": rows}
        reading = miner(await driver.read())
        pools = ASIDE[:1] if step % 5 == 0 else []
        extra = ASIDE if step in (0, 30) else pools
        assert replay.asked == [*POLL, *extra], step
        assert replay.connections == 1
        assert (reading.pools_at is None) is bool(extra)
        assert (len(reading.pools), reading.power_source) == (2, PowerSource.METERED)
        assert (reading.mode, reading.boards[0].serial) == ("normal", "WTEST60K0")


async def test_an_older_api_is_not_asked_for_its_setting_again() -> None:
    rows = {name: answer for name, answer in FRAMED.items() if name != "get.miner.setting"}
    replay = Replay({"framed": rows})
    driver = driver_of(replay)
    reading = miner(await driver.read())
    assert (reading.missing, reading.mode) == ((), None)
    replay.asked.clear()
    replay.at += 301
    await driver.read()
    assert "framed get.miner.setting" not in replay.asked


async def test_a_machine_that_stands_still_is_asked_why() -> None:
    replay = Replay(MINING)
    driver = driver_of(replay)
    await driver.read()
    replay.at += 10
    replay.asked.clear()
    down = {"code": -1, "when": 1, "msg": "btminer process is down err", "desc": "get.miner.status"}
    stopped = {INFO: info(miner={"working": "false"}), "get.miner.status": down}
    replay.recording = {"framed": stopped}
    reading = miner(await driver.read())
    assert (reading.state, reading.hashrate_ths) == (State.SLEEPING, None)
    assert replay.asked == [*POLL, ASIDE[0], ASIDE[1]]
    assert replay.connections == 3  # one, and another to ask why
    replay.at += 10
    replay.asked.clear()
    assert miner(await driver.read()).state is State.SLEEPING
    assert replay.asked == [*POLL, *ASIDE]
    assert replay.connections == 4
    replay.recording = {"framed": {**FRAMED, SUMMARY: summary(elapsed=5)}}
    replay.at += 10
    assert miner(await driver.read()).state is State.MINING


async def test_another_machine_is_asked_who_it_is() -> None:
    replay = Replay(MINING)
    driver = driver_of(replay)
    before = await driver.read()
    replay.at += 10
    replay.asked.clear()
    other = {INFO: info(network={"mac": "02:57:4D:00:00:99"}), SUMMARY: summary(elapsed=77)}
    replay.recording = {"framed": {**FRAMED, **other}}
    after = await driver.read()
    assert replay.asked == [*POLL, ASIDE[0], ASIDE[1]]
    assert before.fingerprint.traits[0] != after.fingerprint.traits[0] == "02:57:4D:00:00:99"


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("takes", [1, 2])
async def test_a_machine_that_takes_few_questions_a_connection(takes: int, silent: bool) -> None:
    replay = Frames(MINING)
    replay.takes, replay.silent = takes, silent
    driver = driver_of(replay)
    reading = miner(await driver.read())
    assert (reading.state, len(reading.boards), len(reading.pools)) == (State.MINING, 3, 2)
    assert reading.missing == ()
    replay.connections = 0
    replay.at += 10
    replay.recording = {"framed": {**FRAMED, SUMMARY: summary(elapsed=10750)}}
    await driver.read()
    assert replay.connections == 2  # it remembers, and asks singly


async def test_a_connection_that_breaks_once_is_not_held_against_it() -> None:
    replay = Frames(MINING)
    rpc = FramedRpc(replay.endpoint, replay, replay, 5.0)
    questions = [Question("get.miner.status", name) for name in ("summary", "edevs")]
    await rpc.ask_all(questions)
    assert rpc.talks
    replay.takes = 1
    assert len((await rpc.ask_all(questions)).replies) == 2
    assert rpc.talks


async def test_a_dead_port_is_an_error() -> None:
    with pytest.raises(Unreachable):
        await driver_of(Replay({})).read()
    with pytest.raises(Refused):
        await driver_of(Replay({"framed": {}})).read()


# --- frames ----------------------------------------------------------------------------------


def frame(answer: Any, says: int | None = None) -> bytes:
    body = as_bytes(answer)
    return (len(body) if says is None else says).to_bytes(4, "little") + body


def test_frames_are_read_and_checked() -> None:
    good = {"code": 0, "when": 1, "msg": {"a": 1}, "desc": "get.x"}
    assert framed.decode(frame(good), "get.x").reply == good
    assert framed.decode(frame(good) + b"beyond", "get.x").reply == good
    assert framed.decode(frame({"code": "0", "msg": 1}), "get.x").reply["msg"] == 1
    assert framed.decode(frame({"STATUS": "S", "Code": 131, "Msg": {}}), "get.x").reply


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (frame({"code": -1, "msg": "fail", "desc": "get.x"}), Refused),
        (frame({"code": -2, "msg": "invalid command", "desc": "get.x"}), Unsupported),
        (frame({"code": -4, "msg": "no permission", "desc": "get.x"}), AccessDenied),
        (frame({"code": "-4", "msg": {}, "desc": "get.x"}), AccessDenied),
        (frame({"code": 0, "msg": {}, "desc": "get.y"}), BadReply),
        (frame({"code": True, "msg": {}}), BadReply),
        (frame({"code": None}), BadReply),
        (frame({"msg": {}}), BadReply),
        (frame({"STATUS": "E", "Code": 45, "Msg": "no"}), AccessDenied),
        (frame([]), BadReply),
        (frame("[[[[" * 200_000), BadReply),
        (frame('{"a":' * 50_000), BadReply),
        (frame(""), BadReply),
        (frame("nothing"), BadReply),
        (frame({"code": 0}, says=4_000_000_000), BadReply),
        (frame({"code": 0}, says=3), BadReply),
        (b"", BadReply),
        (b"\1\0", BadReply),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", BadReply),
    ],
)
def test_frames_that_are_refusals_or_nonsense(raw: bytes, error: type[DriverError]) -> None:
    with pytest.raises(error) as raised:
        framed.decode(raw, "get.x")
    assert len(str(raised.value)) < 700


@given(st.binary(max_size=200))
def test_no_bytes_make_decoding_fail_otherwise(raw: bytes) -> None:
    for whole in (raw, frame(raw.decode("latin-1"))):
        with suppress(DriverError):
            framed.decode(whole, "get.x")
    assert framed.length_of(raw) is None or len(raw) >= 4


# --- hostile answers -------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_answer_makes_parsing_fail(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([p for p in FIXTURES if p.stem.startswith("whatsminer3-")]))
    rows = as_dict(mutate(load(path)["framed"], data))
    sections = as_dict(as_dict(rows.get(INFO)).get("msg"))
    told = Info(sections=sections, fresh=data.draw(st.booleans()))
    sample = parse(Report(rows), "asic-x", NOW, told)
    msgspec.json.encode(sample)
    reading = miner(sample)
    assert len(reading.boards) <= 64
    assert len(reading.faults) <= 64
    assert len(reading.pools) <= 16
    msgspec.json.encode(parse_identity(sections, "asic-at-10.0.0.1"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_machine_makes_the_driver_fail_otherwise(data: st.DataObject) -> None:
    replay = Frames({"framed": as_dict(mutate(FRAMED, data))})
    replay.takes = data.draw(st.integers(1, 5))

    async def use() -> None:
        driver = driver_of(replay)
        for step in (0, 10, 60, 400):
            replay.at = NOW + step
            with suppress(DriverError):
                await (driver.identify() if step == 60 else driver.read())

    asyncio.run(use())
