"""The scriptable miner keeps the contract that the agent relies on."""

import asyncio

import pytest

from agent.clock import SystemClock
from drivers.actions import Answer, Receipt, is_met
from drivers.api import Driver
from drivers.capabilities import PoolSetting, capabilities
from drivers.errors import DeviceTimeout, Unreachable
from drivers.mock import MockMiner, MockReader, mock_identity
from drivers.model import MinerReading, Reading, State


@pytest.fixture
def miner() -> MockMiner:
    return MockMiner(mock_identity(), SystemClock())


async def reading_of(miner: MockReader) -> MinerReading:
    reading = (await miner.read()).reading
    assert isinstance(reading, MinerReading)
    return reading


def shown(receipt: Receipt, before: Reading, after: Reading) -> bool:
    assert receipt.expectation
    return is_met(receipt.expectation, before, after)


def test_what_it_can_do(miner: MockMiner) -> None:
    assert isinstance(miner, Driver)
    assert list(capabilities(miner)) == [
        *("pause", "resume", "restart_mining", "reboot", "limit_power", "set_pools", "locate"),
    ]
    reader = MockReader(mock_identity(), SystemClock())
    assert isinstance(reader, Driver)
    assert capabilities(reader) == {}


def test_identities_differ() -> None:
    assert len({mock_identity(number).id for number in range(1000)}) == 1000
    assert not mock_identity().provisional


async def test_readings_carry_the_identity(miner: MockMiner) -> None:
    assert (await reading_of(miner)).device_id == mock_identity().id
    miner.identity = mock_identity(2)
    await miner.identify()
    assert (await reading_of(miner)).device_id == mock_identity(2).id


@pytest.mark.parametrize("method", ["pause", "resume", "reboot", "limit_power"])
async def test_effects_can_be_proved(miner: MockMiner, method: str) -> None:
    if method == "resume":
        await miner.pause()
    before = await reading_of(miner)
    arguments = (2000.0,) if method == "limit_power" else ()
    receipt = await getattr(miner, method)(*arguments)
    assert receipt.answer is Answer.ACCEPTED
    assert not shown(receipt, before, before)
    assert shown(receipt, before, await reading_of(miner))


async def test_a_limit_is_kept_over_sleep(miner: MockMiner) -> None:
    await miner.limit_power(1625.0)
    await miner.pause()
    asleep = await reading_of(miner)
    assert (asleep.state, asleep.hashrate_ths) == (State.SLEEPING, 0.0)
    await miner.resume()
    awake = await reading_of(miner)
    assert (awake.power_w, awake.hashrate_ths) == (1625.0, 55.0)


async def test_pools_and_light(miner: MockMiner) -> None:
    await miner.set_pools([PoolSetting("stratum+tcp://b:1", "w")])
    assert [pool.url for pool in (await reading_of(miner)).pools] == ["stratum+tcp://b:1"]
    await miner.locate(on=True)
    assert miner.now.locating


async def test_a_lazy_miner_says_ok_and_does_it_later_or_never(miner: MockMiner) -> None:
    miner.lazy = True
    before = await reading_of(miner)
    receipt = await miner.pause()
    assert not shown(receipt, before, await reading_of(miner))
    miner.settle()
    assert shown(receipt, before, await reading_of(miner))
    await miner.resume()
    miner.lose()
    miner.settle()
    assert (await reading_of(miner)).state is State.SLEEPING


async def test_answers_as_told(miner: MockMiner) -> None:
    miner.script.answer_next("pause", Answer.REFUSED, "not now")
    receipt = await miner.pause()
    assert (receipt.answer, receipt.words, receipt.expectation) == (
        Answer.REFUSED,
        "not now",
        None,
    )
    assert (await reading_of(miner)).state is State.MINING
    miner.script.answer_next("pause", Answer.UNANSWERED)
    await miner.pause()
    assert (await reading_of(miner)).state is State.SLEEPING


async def test_failures_as_told(miner: MockMiner) -> None:
    miner.script.fail_next("read", DeviceTimeout("late"), Unreachable("gone"))
    with pytest.raises(DeviceTimeout):
        await miner.read()
    with pytest.raises(Unreachable):
        await miner.read()
    await miner.read()
    miner.script.fail_always("pause", Unreachable("gone"))
    for _ in range(3):
        with pytest.raises(Unreachable):
            await miner.pause()
    miner.script.fail_always("pause", None)
    await miner.pause()


async def test_a_call_waits_at_a_gate(miner: MockMiner) -> None:
    gate = miner.script.hold("read")
    reading = asyncio.create_task(miner.read())
    await gate.reached.wait()
    assert not reading.done()
    gate.open()
    assert (await reading).reading.state is State.MINING
    await miner.read()


async def test_calls_are_noted(miner: MockMiner) -> None:
    await miner.identify()
    await miner.limit_power(900.0)
    await miner.locate(on=False)
    await miner.close()
    assert miner.script.calls == [("identify",), ("limit_power", 900.0), ("locate", False)]
    assert miner.closed


async def test_what_it_shows_is_the_test_s_to_say(miner: MockMiner) -> None:
    miner.show(state=State.FAULT, power_w=None)
    reading = await reading_of(miner)
    assert (reading.state, reading.power_w) == (State.FAULT, None)
