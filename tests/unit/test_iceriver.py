"""IceRiver: the one page, its traps, and one request for each poll."""

import json
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings

from drivers.api import Credential
from drivers.asic.iceriver.answers import parse, parse_identity, rate_ths
from drivers.asic.iceriver.driver import Iceriver, panel_in
from drivers.errors import AccessDenied, BadReply, DriverError, Refused, Unreachable
from drivers.model import MinerReading, State
from tests.replay import NOW, Replay
from tests.unit.mutations import mutations

FIXTURES = Path(__file__).parents[1] / "fixtures" / "asic"
PANEL = "POST /user/userpanel"


def load(name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((FIXTURES / f"iceriver-{name}.json").read_text()))


def data_of(name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", load(name)["web"][PANEL]["data"])


def read(data: dict[str, Any]) -> MinerReading:
    return cast("MinerReading", parse(data, "asic-x", NOW).reading)


async def test_one_request_for_each_poll_and_no_login_where_none_is_wanted() -> None:
    replay = Replay(load("ks5l"))
    driver = Iceriver(replay.endpoint, replay.context())
    await driver.identify()
    await driver.read()
    await driver.read()
    await driver.close()
    assert replay.asked == ["web POST /user/userpanel?post=4"] * 3


async def test_a_session_is_kept() -> None:
    replay = Replay(load("lost-board"))
    driver = Iceriver(replay.endpoint, replay.context(Credential("me", "my own")))
    await driver.identify()
    await driver.read()
    await driver.read()
    logins = [line for line in replay.asked if "loginpost" in line]
    assert logins == ["web POST /user/loginpost?post=6&user=me&pwd=my%20own"]
    assert len(replay.asked) == 5  # the first without a session, then one for each question


async def test_a_wrong_password_is_said() -> None:
    fixture = load("lost-board")
    fixture["web"]["POST /user/loginpost"] = {"error": 1002, "message": "password error"}
    replay = Replay(fixture)
    with pytest.raises(AccessDenied):
        await Iceriver(replay.endpoint, replay.context()).read()


async def test_the_login_page_instead_of_the_panel() -> None:
    fixture = load("ks5l")
    fixture["web"][PANEL] = "<html>login</html>"
    fixture["web"]["POST /user/loginpost"] = {"error": 0}
    replay = Replay(fixture)
    driver = Iceriver(replay.endpoint, replay.context())
    with pytest.raises(BadReply):
        await driver.read()
    fixture["web"][PANEL] = {"error": 0, "data": data_of("ks5l")}
    assert (await driver.read()).reading.state is State.MINING


async def test_a_stopped_program_is_named() -> None:
    fixture = load("ks5l")
    fixture["web"][PANEL] = {"error": 1, "data": {}, "message": "Connect miner failed!"}
    replay = Replay(fixture)
    with pytest.raises(Refused, match="Connect miner failed") as caught:
        await Iceriver(replay.endpoint, replay.context()).read()
    assert type(caught.value) is Refused
    with pytest.raises(Unreachable):
        await Iceriver(replay.endpoint, Replay({}).context()).read()


@pytest.mark.parametrize(
    ("value", "unit", "ths"),
    [
        ("15011G", "G", 15.011),
        ("15T", "T", 15.0),
        ("98", "G", 0.098),
        ("0.5P", None, 500.0),
        ("60.5M", "M", 6.05e-5),
        (98, "G", 0.098),
        ("5", None, 5e-12),
        ("5", "furlong", None),
        ("NaNG", "G", None),
        ("(null)", "G", None),
        ("", "G", None),
        (None, "G", None),
        ([], {}, None),
        ("-5G", "G", None),
    ],
)
def test_rates(value: Any, unit: Any, ths: float | None) -> None:
    assert rate_ths(value, unit) == ths


@pytest.mark.parametrize(
    ("software", "model"),
    [
        ("ICM168_3_2_10_ks5L_miner", "KS5L"),
        ("ICM168_2_1_0_ks3m_miner", "KS3M"),
        ("ICM168_3_2_12_ks0pro_miner", "KS0 Pro"),
        ("ICM168_3_2_12_ks0ultra_miner", "KS0 Ultra"),
        ("ICM168_3_2_12_ks0_miner", "KS0"),
        ("ICM168_1_0_al1lite_miner", "AL1 Lite"),
        ("ICM168_04_02_1810_10306_miner", "AL3"),
        ("ICM168_04_02_1810_99999_miner", None),
        ("v1.0", None),
        ("(null)", None),
    ],
)
def test_models(software: str, model: str | None) -> None:
    data = data_of("ks5l") | {"softver1": software}
    assert parse_identity(data, "asic-at-10.0.0.1").model == model


def test_the_devices_own_word_for_its_model_counts_first() -> None:
    data = data_of("ks5l") | {"model": "KS7", "algo": "none"}
    identity = parse_identity(data, "asic-at-10.0.0.1")
    assert (identity.model, identity.algorithm) == ("KS7", "kheavyhash")


def test_flags_that_lie_and_flags_that_do_not() -> None:
    healthy = data_of("ks5l")
    assert healthy["tempstate"] is False
    assert read(healthy).faults == ()
    assert [fault.code for fault in read(healthy | {"powstate": False}).faults] == ["pow"]
    assert read({**healthy, "boards": [], "powstate": "x"}).faults == ()


def test_nothing_read_is_nothing_said() -> None:
    reading = read({"x": 1})
    assert (reading.hashrate_ths, reading.uptime_s, reading.locating) == (None, None, None)
    assert (reading.boards, reading.fans, reading.pools, reading.state) == (
        (),
        (),
        (),
        State.UNKNOWN,
    )


def test_the_pool_in_use_is_told_by_its_state_not_by_connect() -> None:
    pools = [
        {"addr": "a", "connect": False, "state": 1.0},
        {"addr": "b", "connect": -1.0, "state": 0},
    ]
    found = read({"rtpow": "5G", "pools": pools}).pools
    assert [(pool.active, pool.status) for pool in found] == [(True, "Alive"), (False, None)]


@pytest.mark.parametrize("page", [None, [], "x", {}, {"data": {}}, {"data": []}, {"error": 5}])
def test_pages_that_are_none(page: Any) -> None:
    with pytest.raises(DriverError):
        panel_in(page)


@given(mutations(load("lost-board")["web"][PANEL]["data"]))
@settings(max_examples=300, deadline=None)
def test_no_panel_makes_parsing_fail(data: Any) -> None:
    msgspec.json.encode(parse(data, "asic-x", NOW).reading)
    msgspec.json.encode(parse_identity(data, "asic-at-x"))
