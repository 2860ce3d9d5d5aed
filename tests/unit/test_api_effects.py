"""How the effect of an action is proved, and what a driver says it can do."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from drivers import actions, api
from drivers.actions import Check, Expectation, Latency, Receipt, Relation, is_denied, is_met
from drivers.api import Endpoint
from drivers.capabilities import ACTIONS, PoolSetting, capabilities
from drivers.model import HostReading, Identity, Kind, MinerReading, Pool, Sample, State

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def miner(**values: Any) -> MinerReading:
    values.setdefault("state", State.MINING)
    return MinerReading(device_id="asic-x", kind=Kind.ASIC, taken_at=NOW, **values)


def met(check: Check, before: MinerReading, after: MinerReading) -> bool:
    return is_met(Expectation(any_of=((check,),), look_after_s=1, until_s=60), before, after)


@pytest.mark.parametrize(
    ("relation", "value", "before", "after", "holds"),
    [
        (Relation.EQUALS, 100.0, 90.0, 100.0, True),
        (Relation.EQUALS, 100.0, 90.0, 90.0, False),
        (Relation.DIFFERS, 100.0, 100.0, 90.0, True),
        (Relation.DIFFERS, 100.0, 90.0, 100.0, False),
        (Relation.AT_MOST, 50.0, None, 50.0, True),
        (Relation.AT_MOST, 50.0, 10.0, 50.1, False),
        (Relation.AT_LEAST, 50.0, None, 50.0, True),
        (Relation.AT_LEAST, 50.0, 90.0, 49.9, False),
        (Relation.AT_MOST_OF_BEFORE, 0.5, 100.0, 50.0, True),
        (Relation.AT_MOST_OF_BEFORE, 0.5, 100.0, 50.1, False),
        (Relation.AT_MOST_OF_BEFORE, 0.5, 0.0, 0.0, True),
        (Relation.BELOW_BEFORE, None, 5000.0, 12.0, True),
        (Relation.BELOW_BEFORE, None, 12.0, 12.0, False),
        (Relation.BELOW_BEFORE, None, 12.0, 13.0, False),
    ],
)
def test_relations(
    relation: Relation, value: float | None, before: float | None, after: float, holds: bool
) -> None:
    check = Check("hashrate_ths", relation, value)
    assert met(check, miner(hashrate_ths=before), miner(hashrate_ths=after)) is holds


@pytest.mark.parametrize("relation", list(Relation))
def test_a_missing_value_proves_nothing(relation: Relation) -> None:
    check = Check("power_w", relation, 1.0)
    assert not met(check, miner(power_w=3000.0), miner(power_w=None))
    assert not met(Check("no_such_field", relation, 1.0), miner(), miner())


@pytest.mark.parametrize("relation", [Relation.AT_MOST_OF_BEFORE, Relation.BELOW_BEFORE])
def test_nothing_is_compared_with_an_unknown_before(relation: Relation) -> None:
    assert not met(Check("power_w", relation, 0.5), miner(power_w=None), miner(power_w=0.0))


@pytest.mark.parametrize(
    ("age_s", "since_s", "holds"),
    [(90.0, 100.0, True), (98.0, 100.0, False), (130.0, 100.0, False), (0.0, 1.0, False)],
)
def test_an_age_that_began_since_the_reading_before(
    age_s: float, since_s: float, holds: bool
) -> None:
    check = Check("uptime_s", Relation.BEGUN_SINCE)
    later = msgspec.structs.replace(
        miner(uptime_s=age_s), taken_at=NOW + timedelta(seconds=since_s)
    )
    assert met(check, miner(uptime_s=30.0), later) is holds
    assert not met(check, miner(uptime_s=30.0), miner(uptime_s=None))


def test_every_relation_is_evaluated() -> None:
    assert set(actions._RELATIONS) == set(Relation)


def test_words_and_states() -> None:
    check = Check("mode", Relation.EQUALS, "sleep")
    assert met(check, miner(mode="normal"), miner(mode="sleep"))
    asleep = Check("state", Relation.EQUALS, "sleeping")
    assert met(asleep, miner(), miner(state=State.SLEEPING))
    assert not met(asleep, miner(), miner(state=State.IDLE))


def test_one_group_suffices_and_holds_together() -> None:
    asleep = Check("mode", Relation.EQUALS, "sleep")
    still = Check("hashrate_ths", Relation.AT_MOST, 0.0)
    cold = Check("power_w", Relation.AT_MOST_OF_BEFORE, 0.2)
    wanted = Expectation(any_of=((asleep, still), (cold,)), look_after_s=5, until_s=120)
    before = miner(mode="normal", hashrate_ths=100.0, power_w=3000.0)
    assert is_met(wanted, before, miner(mode="sleep", hashrate_ths=0.0))
    assert is_met(wanted, before, miner(power_w=100.0))
    assert not is_met(wanted, before, miner(mode="sleep", hashrate_ths=80.0, power_w=2900.0))
    assert not is_met(wanted, before, before)


def test_no_group_is_never_met() -> None:
    nothing = Expectation(any_of=(), look_after_s=0, until_s=1)
    assert not is_met(nothing, miner(), miner())


def test_a_reading_of_another_kind_shows_nothing() -> None:
    host = HostReading(device_id="host-1", kind=Kind.HOST, taken_at=NOW, state=State.OK)
    still = Expectation(
        any_of=((Check("hashrate_ths", Relation.AT_MOST, 0.0),),), look_after_s=1, until_s=2
    )
    assert not is_met(still, host, host)


class Reader:
    """A driver that can only read."""

    async def identify(self) -> Identity:
        return Identity(id="asic-x", kind=Kind.ASIC)

    async def read(self) -> Sample:
        return Sample(miner())

    async def close(self) -> None:
        return None


async def _nothing(*_: object, **__: object) -> Receipt:
    raise NotImplementedError


class Pausing(Reader):
    """Can pause, and says how fast."""

    latencies: Mapping[str, Latency] = {
        "pause": Latency.SECONDS,
        "resume": Latency.MINUTES,
        "reboot": Latency.MINUTE,
    }
    pause = resume = _nothing


class HalfPausing(Reader):
    """Can pause and not resume: no capability."""

    latencies: Mapping[str, Latency] = {"pause": Latency.SECONDS}
    pause = _nothing


class Silent(Reader):
    """Has the methods, and says nothing of this device."""

    pause = resume = _nothing


def test_capabilities() -> None:
    assert capabilities(Reader()) == {}
    assert capabilities(HalfPausing()) == {}
    assert capabilities(Silent()) == {}
    assert capabilities(Pausing()) == {"pause": Latency.SECONDS, "resume": Latency.MINUTES}
    methods: dict[str, Any] = dict.fromkeys(ACTIONS, _nothing)
    known = {"latencies": dict.fromkeys(ACTIONS, Latency.MINUTE)}
    doer = type("Doer", (Reader,), methods | known)()
    assert list(capabilities(doer)) == list(ACTIONS)
    assert isinstance(Reader(), api.Driver)


def test_what_disproves_an_effect() -> None:
    wanted = Expectation(
        any_of=(
            (
                Check("state", Relation.EQUALS, State.SLEEPING),
                Check("hashrate_ths", Relation.AT_MOST, 0.0),
            ),
        ),
        look_after_s=1,
        until_s=60,
    )
    before = miner(hashrate_ths=100.0)
    assert is_denied(wanted, before, miner(hashrate_ths=100.0))
    assert is_denied(wanted, before, miner(state=State.SLEEPING, hashrate_ths=3.0))
    assert not is_denied(wanted, before, miner(state=State.STARTING))  # on its way
    assert not is_denied(wanted, before, miner(state=State.SLEEPING))  # the rate does not show
    assert not is_denied(wanted, before, miner(state=State.SLEEPING, hashrate_ths=0.0))
    assert not is_denied(Expectation(any_of=(), look_after_s=0, until_s=1), before, before)


def test_pools_are_compared_without_their_scheme() -> None:
    shown = miner(pools=(Pool(url="stratum+tcp://Pool.example:3333/", user="a.b"), Pool()))
    assert shown.pool_targets == ("a.b@pool.example:3333",)
    assert miner().pool_targets is None
    check = Check("pool_targets", Relation.EQUALS, ("a.b@pool.example:3333",))
    assert met(check, miner(), shown)


def test_a_pool_password_is_never_printed() -> None:
    assert "secret" not in repr(PoolSetting("stratum+tcp://p:1", "u", "secret"))


def test_a_credential_is_never_printed() -> None:
    credential = api.Credential("root", "very secret")
    assert "very secret" not in f"{credential} {credential!r} {(credential,)}"


def test_provisional_ids() -> None:
    endpoint = Endpoint("10.0.0.1")
    assert Identity(id=endpoint.provisional_id, kind=Kind.ASIC).provisional
    assert not Identity(id="asic-02:00:00:00:00:01", kind=Kind.ASIC).provisional
