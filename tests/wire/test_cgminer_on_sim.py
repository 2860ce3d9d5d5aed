"""The generic driver against simulated classic machines that sleep, fail, or have no pool."""

from typing import cast

import pytest

from drivers.asic.cgminer import Cgminer
from drivers.model import MinerReading, State
from drivers.sim.machine import Condition
from tests.wire.simsite import START, on_site

NETWORK = "127.91.0.0/16"
MODELS = ["CoinTerra TerraMiner", "BitForce SC", "Radeon R9 290"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("condition", "state"),
    [
        (Condition.SLEEPING, State.SLEEPING),
        (Condition.NO_POOL, State.IDLE),
        (Condition.BOARD_LOST, State.MINING),
    ],
)
async def test_conditions(model: str, condition: Condition, state: State) -> None:
    async with on_site(model, NETWORK) as where:
        where.machine().become(condition, START)
        driver = Cgminer(where.endpoint(), where.context)
        reading = cast("MinerReading", (await driver.read()).reading)
        now = where.machine().at(START)
    assert reading.state is state
    assert reading.hashrate_ths == pytest.approx(now.ghs_5s / 1000, rel=1e-3)
    if condition is Condition.BOARD_LOST:
        assert [fault.code for fault in reading.faults] == ["Dead"]
        assert (reading.boards[-1].hashrate_ths, reading.boards[-1].chips) == (0, 0)


async def test_the_make_is_in_the_devices_name() -> None:
    async with on_site(MODELS[0], NETWORK) as where:
        identity = await Cgminer(where.endpoint(), where.context).identify()
    assert (identity.make, identity.model, identity.provisional) == ("CoinTerra", None, True)
