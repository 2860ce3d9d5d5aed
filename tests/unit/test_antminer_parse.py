"""What is read from a stock Antminer's answers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from drivers.api import WebReply
from drivers.asic.antminer import Pools, merged, parse, parse_page, parse_system_info
from drivers.errors import AccessDenied, BadReply, Unsupported
from drivers.model import Fan, MinerReading, Pool, State
from drivers.wire.cgminer import Report

NOW = 1_790_000_000.25
ID = "asic-02:00:00:00:00:01"

HEAD = {
    "BMMiner": "1.0.0",
    "Miner": "49.0.1.3",
    "CompileTime": "Fri Nov 17 17:37:21 CST 2023",
    "Type": "Antminer S19",
}
POOL = {
    "POOL": 0,
    "URL": "stratum+tcp://poolbinance.example.com:3333",
    "User": "farm.w1",
    "Status": "Alive",
    "Stratum Active": True,
    "Accepted": 100,
    "Rejected": 2,
    "Stale": 1,
}


def body(**changes: Any) -> dict[str, Any]:
    """The second object of STATS as an S19 gives it; `None` takes a key away."""
    row: dict[str, Any] = {
        "Elapsed": 5000,
        "GHS 5s": 95000.5,
        "GHS av": 94000.25,
        "total_rateideal": 96000.0,
        "rate_unit": "GH",
        "miner_mode": 0,
        "no_matching_work": 12,
        "fan_num": 4,
        "miner_id": "8000000000000001",
        **{f"fan{at}": 5000 + at for at in range(1, 5)},
    }
    for at in range(1, 5):
        there = at < 4
        row |= {
            f"chain_acn{at}": 76 if there else 0,
            f"chain_rate{at}": "31666.83" if there else "",
            f"chain_hw{at}": 4 if there else 0,
            f"freq{at}": 675 if there else 0,
            f"temp_chip{at}": f"5{at}-50-6{at}-70" if there else "0-0-0-0",
            f"temp_pcb{at}": f"4{at}-40-5{at}-60" if there else "0-0-0-0",
        }
    return {key: value for key, value in (row | changes).items() if value is not None}


def read(
    row: dict[str, Any],
    pools: list[dict[str, Any]] | None = None,
    head: dict[str, Any] = HEAD,
    **more: Any,
) -> MinerReading:
    replies = {
        "stats": {"STATS": [head, row]},
        "pools": {"POOLS": [POOL] if pools is None else pools},
    }
    reading = parse(Report(replies, **more), ID, NOW).reading
    assert isinstance(reading, MinerReading)
    return reading


def test_a_healthy_machine() -> None:
    reading = read(body())
    assert reading.device_id == ID
    assert reading.taken_at == datetime.fromtimestamp(NOW, UTC)
    assert reading.state is State.MINING
    assert reading.mode == "normal"
    assert reading.hashrate_ths == 95.0005
    assert reading.hashrate_avg_ths == 94.00025
    assert reading.hashrate_nominal_ths == 96.0
    assert (reading.uptime_s, reading.hw_errors) == (5000, 12)
    assert (reading.power_w, reading.power_source, reading.efficiency_j_th) == (None, None, None)
    assert [board.index for board in reading.boards] == [1, 2, 3]
    first = reading.boards[0]
    assert (first.chips, first.chips_expected, first.hw_errors) == (76, 76, 4)
    assert (first.hashrate_ths, first.frequency_mhz) == (31.66683, 675)
    assert (first.board_temp_c, first.chip_temp_c) == (60, 70)
    assert reading.chip_temp_max_c == 70
    assert reading.fans == tuple(Fan(at, 5000 + at) for at in range(1, 5))
    assert (reading.shares_accepted, reading.shares_rejected, reading.shares_stale) == (100, 2, 1)
    assert reading.pools[0].url == POOL["URL"]
    assert (reading.pools[0].active, reading.pools[0].status) == (True, "Alive")
    assert (reading.faults, reading.missing, reading.pools_at) == ((), (), None)


def test_what_is_not_said_is_none_and_never_zero() -> None:
    reading = read({"ID": "BTM_SOC0"}, pools=[])
    for name in (
        *("hashrate_ths", "hashrate_avg_ths", "hashrate_nominal_ths", "uptime_s", "mode"),
        *("chip_temp_max_c", "shares_accepted", "shares_rejected", "shares_stale"),
        *("hw_errors", "power_w", "power_source"),
    ):
        assert getattr(reading, name) is None, name
    assert (reading.boards, reading.fans, reading.pools, reading.faults) == ((), (), (), ())
    assert reading.state is State.UNKNOWN


def test_words_for_numbers() -> None:
    row = body(**{"GHS 5s": "95000.50", "miner_mode": "0", "Elapsed": "5000", "fan1": "5001"})
    assert read(row) == read(body())


@pytest.mark.parametrize(("unit", "ths"), [("MH", 0.0095), ("GH/s", 9.5), ("TH", 9500.0), (5, 9.5)])
def test_the_rate_unit_of_scrypt_machines(unit: object, ths: float) -> None:
    reading = read(body(**{"rate_unit": unit, "GHS 5s": 9500.0}))
    assert reading.hashrate_ths == pytest.approx(ths)


@pytest.mark.parametrize(
    ("mode", "name", "state"),
    [
        (0, "normal", State.STARTING),
        (1, "sleep", State.SLEEPING),
        ("1", "sleep", State.SLEEPING),
        (3, "low", State.STARTING),
        (7, "7", State.STARTING),
        (None, None, State.STARTING),
    ],
)
def test_modes(mode: object, name: str | None, state: State) -> None:
    reading = read(body(**{"miner_mode": mode, "GHS 5s": 0.0, "Elapsed": 30}))
    assert (reading.mode, reading.state) == (name, state)


@pytest.mark.parametrize(
    ("changes", "pools", "state"),
    [
        ({"GHS 5s": 0.0}, [POOL], State.FAULT),
        ({"GHS 5s": 0.0}, [POOL | {"Status": "Dead"}], State.IDLE),
        ({"GHS 5s": 0.0}, [], State.FAULT),
        ({"GHS 5s": 0.0, "Elapsed": 599}, [POOL | {"Status": "Dead"}], State.STARTING),
        ({"GHS 5s": 0.0} | {f"chain_acn{n}": 0 for n in (1, 2, 3)}, [POOL], State.FAULT),
        ({"GHS 5s": "n/a"}, [POOL], State.UNKNOWN),
    ],
)
def test_states(changes: dict[str, Any], pools: list[dict[str, Any]], state: State) -> None:
    assert read(body(**changes), pools).state is state


def test_silent_chips_and_boards_are_faults() -> None:
    reading = read(body(chain_acn2=70, chain_acn3=0))
    assert [board.chips for board in reading.boards] == [76, 70, 0]
    assert [fault.message for fault in reading.faults] == [
        "board 2: 70 of 76 chips answer",
        "board 3: 0 of 76 chips answer",
    ]


def test_a_count_that_cannot_be_read_is_no_fault() -> None:
    reading = read(body(chain_acn2="?"))
    assert [board.chips for board in reading.boards] == [76, None, 76]
    assert reading.faults == ()


def test_a_sleeping_machine_has_no_silent_chips() -> None:
    row = body(**{"miner_mode": 1, "GHS 5s": 0.0, "chain_acn1": 0, "chain_acn2": 0})
    assert read(row).faults == ()


def test_an_unknown_model_shows_what_answers_and_expects_nothing() -> None:
    reading = read(body(chain_acn2=0), head=HEAD | {"Type": "Antminer Z1"})
    assert [board.index for board in reading.boards] == [1, 3]
    assert {board.chips_expected for board in reading.boards} == {None}
    assert reading.faults == ()


def test_the_boards_of_an_s9_begin_at_six() -> None:
    row = {f"chain_acn{at}": 63 if at in (6, 7, 8) else 0 for at in range(1, 17)}
    reading = read(row | {"GHS 5s": "13500.1"}, head=HEAD | {"Type": "Antminer S9"})
    assert [board.index for board in reading.boards] == [6, 7, 8]
    assert reading.faults == ()


@pytest.mark.parametrize(
    ("fans", "count", "seen"),
    [
        ((0, 0, 6000, 5900), 2, [(3, 6000), (4, 5900)]),
        ((0, 5900, 0, 0), 2, [(1, 0), (2, 5900)]),
        ((6000, 0, 0, 0), None, [(1, 6000)]),
        ((0, 0, 0, 0), 4, [(1, 0), (2, 0), (3, 0), (4, 0)]),
        ((6000, 5900, 5800, 5700), 2, [(1, 6000), (2, 5900), (3, 5800), (4, 5700)]),
    ],
)
def test_fans(fans: tuple[int, ...], count: int | None, seen: list[tuple[int, int]]) -> None:
    row = body(fan_num=count, **{f"fan{at}": rpm for at, rpm in enumerate(fans, 1)})
    assert [(fan.index, fan.rpm) for fan in read(row).fans] == seen


def test_pools_without_address_are_no_pools_and_counters_add_up() -> None:
    spare = POOL | {"POOL": 1, "Accepted": 5, "Rejected": "1", "Stratum Active": "N"}
    reading = read(body(), [POOL, spare, {"POOL": 2, "URL": "", "User": "", "Accepted": 99}])
    assert len(reading.pools) == 2
    assert (reading.shares_accepted, reading.shares_rejected) == (105, 3)
    assert [pool.active for pool in reading.pools] == [True, False]


def test_earlier_pools_say_their_age() -> None:
    earlier = Pools((Pool(url="stratum+tcp://a", accepted=7),), NOW - 30, (), 4970)
    report = Report({"stats": {"STATS": [HEAD, body()]}})
    reading = parse(report, ID, NOW, earlier).reading
    assert isinstance(reading, MinerReading)
    assert reading.pools == earlier.value
    assert reading.shares_accepted == 7
    assert reading.pools_at == datetime.fromtimestamp(NOW - 30, UTC)


def test_without_stats_the_classic_dialect_is_read() -> None:
    replies = {"summary": {"SUMMARY": [{"GHS 5s": 95000.0, "Elapsed": 700, "Accepted": 3}]}}
    errors = {"stats": Unsupported(14, "Invalid command")}
    reading = parse(Report(replies, errors), ID, NOW).reading
    assert isinstance(reading, MinerReading)
    assert (reading.hashrate_ths, reading.uptime_s, reading.shares_accepted) == (95.0, 700, 3)
    assert reading.missing == ("stats: Unsupported code 14: Invalid command",)


def test_what_failed_or_was_cut_is_named() -> None:
    reading = read(body(), errors={"pools": AccessDenied(45, "x" * 300)}, cut=("stats",))
    assert reading.missing[0].startswith("pools: AccessDenied code 45: xxx")
    assert reading.missing[1] == "stats: cut off"
    assert max(map(len, reading.missing)) < 140


def test_reports_are_merged() -> None:
    one = Report({"stats": {"a": 1}}, {}, ("stats",))
    other = Report({}, {"pools": BadReply("x")})
    both = merged(one, other)
    assert (list(both.replies), list(both.errors), both.cut) == (["stats"], ["pools"], ("stats",))


def test_the_fingerprint_tells_machines_apart() -> None:
    def traits(row: dict[str, Any], head: dict[str, Any] = HEAD) -> tuple[str, ...]:
        replies = {"stats": {"STATS": [head, row]}, "pools": {"POOLS": [POOL]}}
        return parse(Report(replies), ID, NOW).fingerprint.traits

    assert traits(body()) == traits(body(**{"GHS 5s": 1.0, "Elapsed": 9, "fan1": 1}))
    assert traits(body()) != traits(body(miner_id="8000000000000002"))
    assert traits(body()) != traits(body(chain_acn3=75))
    assert traits(body()) != traits(body(), HEAD | {"CompileTime": "later"})


# --- identity ------------------------------------------------------------------------------

VERSION = {"STATUS": [{"STATUS": "S"}], "VERSION": [{"API": "3.1", **HEAD}]}
INFO = {
    "minertype": "Antminer S19",
    "macaddr": "02:B3:B9:8C:1E:C8",
    "serinum": "ABCD0001EFGH00001",
    "hostname": "Antminer",
    "system_filesystem_version": "FR-1.12(251009-S21)",
}


def test_identity_from_both_sides() -> None:
    identity = parse_system_info(VERSION, INFO, "asic-at-10.0.0.1")
    assert identity.id == "asic-02:b3:b9:8c:1e:c8"
    assert (identity.make, identity.model, identity.firmware) == (
        "Bitmain",
        "Antminer S19",
        "stock",
    )
    assert identity.firmware_version == "FR-1.12(251009-S21)"
    assert (identity.serial, identity.hostname) == ("ABCD0001EFGH00001", "Antminer")


def test_identity_from_one_side() -> None:
    alone = parse_system_info(VERSION, {}, "asic-at-10.0.0.1")
    assert (alone.id, alone.model) == ("asic-at-10.0.0.1", "Antminer S19")
    assert alone.firmware_version == HEAD["CompileTime"]
    assert alone.provisional
    web = parse_system_info({}, INFO, "asic-at-10.0.0.1")
    assert (web.id, web.model) == ("asic-02:b3:b9:8c:1e:c8", "Antminer S19")


def test_a_broken_mac_leaves_the_serial() -> None:
    info = INFO | {"macaddr": "02:55:97:22:3M:72"}
    identity = parse_system_info(VERSION, info, "asic-at-10.0.0.1")
    assert (identity.mac, identity.id) == (None, "asic-ABCD0001EFGH00001")


@pytest.mark.parametrize(
    ("status", "page"), [(500, b"{}"), (404, b"<h1>"), (200, b"<h1>"), (200, b"[]"), (200, b"\xff")]
)
def test_pages_that_hold_no_object(status: int, page: bytes) -> None:
    with pytest.raises(BadReply):
        parse_page(WebReply(status, {}, page))


def test_pools_are_of_one_machine() -> None:
    pools = Pools((), NOW, ("Antminer S19", "8000000000000001"), 5000)
    assert pools.are_of(pools.words, 5030, NOW + 30)
    assert pools.are_of(pools.words, 5029, NOW + 30.9)
    assert not pools.are_of(pools.words, 5034, NOW + 30)
    assert not pools.are_of(pools.words, 30, NOW + 30)
    assert not pools.are_of(("Antminer S19", "8000000000000002"), 5030, NOW + 30)
    assert not pools.are_of(pools.words, None, NOW + 30)
