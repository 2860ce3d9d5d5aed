"""What is read from a stock Antminer's answers."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import WebReply
from drivers.asic.antminer.boards import temperature, unit_ths, volts
from drivers.asic.antminer.driver import Pools, merged, parse, parse_page, parse_system_info
from drivers.asic.antminer.pages import Aside, page_faults, parse_aside
from drivers.asic.models import known
from drivers.errors import AccessDenied, BadReply, Unsupported
from drivers.model import Fan, Fault, MinerReading, Pool, PowerSource, State
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
    assert pools.is_of(pools.words, 5030, NOW + 30)
    assert pools.is_of(pools.words, 5029, NOW + 30.9)
    assert not pools.is_of(pools.words, 5034, NOW + 30)
    assert not pools.is_of(pools.words, 30, NOW + 30)
    assert not pools.is_of(("Antminer S19", "8000000000000002"), 5030, NOW + 30)
    assert not pools.is_of(pools.words, None, NOW + 30)


# --- older and other breeds ----------------------------------------------------------------


def chains(numbers: dict[int, int], **more: Any) -> dict[str, Any]:
    """Sixteen places as an S9 or T9+ has them: number to chips."""
    row: dict[str, Any] = {f"chain_acn{at}": numbers.get(at, 0) for at in range(1, 17)}
    row |= {f"chain_rate{at}": "700.5" if numbers.get(at) else "" for at in range(1, 17)}
    return row | {"GHS 5s": "6304.5", "Elapsed": 9000} | more


@pytest.mark.parametrize(("lost", "others"), [(6, (7, 8)), (7, (6, 8)), (8, (6, 7))])
def test_a_lost_board_keeps_its_place_on_an_s9(lost: int, others: tuple[int, int]) -> None:
    reading = read(chains(dict.fromkeys(others, 63)), head=HEAD | {"Type": "Antminer S9"})
    assert [board.index for board in reading.boards] == [6, 7, 8]
    assert [fault.message for fault in reading.faults] == [f"board {lost}: 0 of 63 chips answer"]


def test_a_t9_plus_has_three_chains_on_each_board() -> None:
    numbers = dict.fromkeys((2, 3, 4, 9, 10, 11, 12, 13, 14), 18)
    reading = read(chains(numbers), head=HEAD | {"Type": "Antminer T9+"})
    assert [board.chips_expected for board in reading.boards] == [18] * 9
    assert reading.faults == ()


def test_words_joined_by_dashes_are_temperatures_under_any_key() -> None:
    # A Z15 writes them so under `temp2_1`; sensors that fail say 255.
    row = chains({1: 3}, temp2_1="61-67-64", temp1="-26", temp3_1=255, temp_pcb1="40-255-44-0")
    board = read(row, head=HEAD | {"Type": "Antminer Z15"}).boards[0]
    assert (board.chip_temp_c, board.board_temp_c) == (67, None)
    assert temperature("m-m-m-m", None, {}, [0, "50", [49]]) == 50


@pytest.mark.parametrize(
    ("name", "said", "ths"),
    [
        ("Antminer S9", "13500.5", 13.5005),
        ("Antminer L3+", "504.56", 0.00050456),
        ("Antminer L3+ (024)", "415.065", 0.000415065),
        ("Antminer L7", 9500.0, 0.0095),
        ("Antminer E9 Pro", 3680.0, 0.00368),
        ("Antminer Z15", "420.5", 4.205e-7),
        ("Antminer Z9-Mini", "14.5", 1.45e-8),
        ("Antminer D3", "17500.5", 0.0175005),
        ("Antminer X3", "231.5", 2.315e-7),
        ("Antminer A3", "815.5", 0.8155),
        ("Antminer K7", 63500.0, 63.5),
        ("Antminer KA3", 166000.0, 166.0),
        ("Antminer HS3", 9000.0, 9.0),
        ("Antminer DR5", 34000.0, 34.0),
        ("Antminer S21 Hyd.", 335000.0, 335.0),
        ("Something else", 1000.0, 1.0),
        (None, 1000.0, 1.0),
    ],
)
def test_what_ghs_means_depends_on_the_model(name: str | None, said: object, ths: float) -> None:
    reading = read({"GHS 5s": said}, head=HEAD | {"Type": name})
    assert reading.hashrate_ths == pytest.approx(ths)


@pytest.mark.parametrize(
    ("unit", "scale"),
    [("KSol/s", 1e-9), ("Sol", 1e-12), ("kh/s", 1e-9), ("GH", 1e-3), ("?", 1e-6), (None, 1e-6)],
)
def test_units_of_rates(unit: object, scale: float) -> None:
    name = "Antminer L7"
    assert unit_ths({"rate_unit": unit}, name, known(name)) == scale


def test_an_l9_says_its_boards_and_its_aim_in_ghs_and_its_rate_in_mhs() -> None:
    row = {"MHS 5s": 16200.0, "MHS av": 16100.0, "total_rateideal": 16.5}
    row |= {f"chain_acn{at}": 110 for at in (1, 2, 3)}
    row |= {f"chain_rate{at}": 5.4 for at in (1, 2, 3)}
    reading = read(row, head=HEAD | {"Type": "Antminer L9"})
    assert reading.hashrate_ths == pytest.approx(0.0162)
    assert reading.hashrate_nominal_ths == pytest.approx(0.0165)
    assert [board.hashrate_ths for board in reading.boards] == pytest.approx([0.0054] * 3)


def test_chips_that_find_hardly_anything() -> None:
    # bmminer marks them with x; a dash only fills the last row of an S23 up.
    reading = read(body(chain_acs1=" ooo xxo o", chain_acs2=" oooo----"))
    assert reading.faults == (Fault(None, "board 1: 2 of 76 chips find hardly anything"),)
    assert reading.boards[0].chips == 76


def test_a_water_cooled_machine_has_no_fans_whatever_it_counts() -> None:
    still = {f"fan{at}": 0 for at in range(1, 5)}
    assert read(body(**still), head=HEAD | {"Type": "Antminer S21 XP Hyd."}).fans == ()


def test_a_machine_that_counts_places_for_fans() -> None:
    row = {"fan_num": 6, "fan1": 4200, "fan2": 0, "fan3": 4080} | {f"fan{n}": 0 for n in (4, 5, 6)}
    reading = read(row | {"GHS 5s": 1.0}, head=HEAD | {"Type": "Antminer S9"})
    assert [(fan.index, fan.rpm) for fan in reading.fans] == [(1, 4200), (3, 4080)]


@pytest.mark.parametrize(("said", "found"), [(920, 9.2), (13000, 13.0), (14.2, 14.2), (0, None)])
def test_volts_in_three_units(said: object, found: float | None) -> None:
    assert volts(said) == found


def test_rows_of_pools_behind_the_stats_of_old_cgminer() -> None:
    stats = [{"CGMiner": "4.7", "Type": "Antminer S5"}, {"ID": "BTM0", "GHS 5s": 1150.0}]
    stats += [{"STATS": 1, "ID": "POOL0", "Elapsed": 5, "Pool Calls": 0}]
    reading = parse(Report({"stats": {"STATS": stats}}), ID, NOW).reading
    assert isinstance(reading, MinerReading)
    assert reading.hashrate_ths == 1.15


def test_the_new_form() -> None:
    chain = {"index": 0, "asic_num": 84, "asic": " ooo xoo----", "rate_real": 188896.1}
    chain |= {"rate_ideal": 194099.1, "freq_avg": 327, "sn": "BOARD1", "hw": 3}
    chain |= {"temp_pcb": [44, 44, 52, 52], "temp_chip": [44, 44, 56, 56]}
    row = {"elapsed": 167430, "rate_5s": 572845.56, "rate_avg": 576153.9, "rate_unit": "GH/s"}
    row |= {"rate_ideal": 581972.7, "fan": [], "fan_num": 0, "watt": 5525, "chain": [chain, 5]}
    info = {"type": "Antminer S23 Hyd.", "CompileTime": "x", "miner_version": "platform[AML]"}
    sample = parse(Report({"stats": {"INFO": info, "STATS": [row]}}), ID, NOW)
    reading = sample.reading
    assert isinstance(reading, MinerReading)
    assert (reading.hashrate_ths, reading.hashrate_nominal_ths) == (572.84556, 581.9727)
    assert (reading.power_w, reading.power_source) == (5525, PowerSource.REPORTED)
    [board] = reading.boards
    assert (board.index, board.serial, board.chips) == (1, "BOARD1", 84)
    assert (board.board_temp_c, board.chip_temp_c, board.hw_errors) == (52, 56, 3)
    assert reading.faults == (Fault(None, "board 1: 1 of 84 chips find hardly anything"),)
    assert sample.fingerprint.traits[:3] == ("Antminer S23 Hyd.", "x", "platform[AML]")


# --- what the pages say --------------------------------------------------------------------


def read_aside(aside: Aside, **changes: Any) -> MinerReading:
    report = Report({"stats": {"STATS": [HEAD, body(**{"miner_mode": None} | changes)]}})
    reading = parse(report, ID, NOW, aside=aside).reading
    assert isinstance(reading, MinerReading)
    return reading


@pytest.mark.parametrize("key", ["bitmain-work-mode", "miner-mode"])
@pytest.mark.parametrize("value", [1, "1"])
def test_a_mode_under_either_key_as_number_or_word(key: str, value: object) -> None:
    aside = parse_aside({"get_miner_conf": {key: value}})
    reading = read_aside(aside, **{"GHS 5s": 0.0})
    assert (reading.state, reading.mode) == (State.SLEEPING, "sleep")


def test_a_configured_sleep_without_effect_is_no_sleep() -> None:
    reading = read_aside(Aside(mode=1))
    assert (reading.state, reading.mode) == (State.MINING, None)


def test_the_polls_own_mode_goes_before_the_configured_one() -> None:
    assert read_aside(Aside(mode=1), miner_mode=0, **{"GHS 5s": 0.0}).mode == "normal"


@pytest.mark.parametrize(
    ("level", "word"), [(100, "low"), (90, "low, 90 %"), (None, "low"), (0, "low")]
)
def test_the_frequency_level(level: int | None, word: str) -> None:
    assert read_aside(Aside(mode=3, level=level)).mode == word


def test_serials_from_the_page_belong_to_the_boards() -> None:
    page = {"STATS": [{"chain": [{"index": 0, "sn": "A1"}, {"index": 2, "sn": "C3"}]}]}
    reading = read_aside(parse_aside({"stats": page}))
    assert [board.serial for board in reading.boards] == ["A1", None, "C3"]


def test_faults_of_the_summary_page() -> None:
    entries = [
        {"type": "rate", "status": "s", "code": 0, "msg": ""},
        {"type": "fans", "status": "", "code": 0, "msg": ""},
        {"type": "temp", "status": "e", "code": 52, "msg": "too hot"},
        {"type": "network", "status": "w", "code": "0", "msg": ""},
        {"status": "?"},
        "x",
    ]
    found = page_faults({"SUMMARY": [{"status": entries, "safe_mode": True}]})
    assert found == (
        Fault("52", "temp: too hot"),
        Fault(None, "network: warning"),
        Fault(None, "miner: ?"),
        Fault(None, "the firmware runs in safe mode"),
    )
    assert page_faults({"SUMMARY": "x"}) == page_faults(None) == ()


# --- hostile answers -----------------------------------------------------------------------

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["inf", "nan", "1e999", "-", "0-0", "5" * 400, [], {}, [[]], [{}]]),
)
KEYS = st.sampled_from([*body(), "chain", "fan", "rate_5s", "watt", "miner-mode", "frequency"])


@given(st.dictionaries(KEYS, ODD), st.lists(ODD, max_size=3), st.dictionaries(st.text(), ODD))
def test_nothing_makes_parsing_raise(
    changes: dict[str, Any], others: list[Any], page: dict[str, Any]
) -> None:
    stats = {"STATS": [*others, HEAD | page, body() | changes, *others], "INFO": page}
    pages = {"get_miner_conf": page, "summary": {"SUMMARY": [page, changes]}, "stats": stats}
    report = Report({"stats": stats, "pools": {"POOLS": [POOL | page, changes]}})
    for found in (report, Report({"stats": page}), Report({"stats": {"STATS": others}})):
        msgspec.json.encode(parse(found, ID, NOW, aside=parse_aside(pages)))


def test_long_lists_are_bounded() -> None:
    row = {"rate_5s": 1.0, "chain": [{"asic": "x", "asic_num": 1}] * 5000, "fan": [1] * 5000}
    reading = read(row, [POOL] * 5000)
    assert len(reading.boards) <= 64
    assert len(reading.fans) <= 32
    assert len(reading.faults) <= 64
    assert len(reading.pools) <= 16
