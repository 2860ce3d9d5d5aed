"""Changes of pools of machines with Braiins OS that are killed or cut off half way."""

from contextlib import suppress
from typing import Any

import pytest

from agent.command.effects import Verdict
from drivers.capabilities import UNFINISHED, Recovers
from drivers.errors import Unreachable
from tests.wire.acting import KeptMemory, Killed, act, acting
from tests.wire.braiins_site import NEW, S19J, S21, Web, create_again, memory_of, targets
from tests.wire.simsite import OnSite, on_site

NETWORK = "127.99.0.0/16"


@pytest.mark.parametrize("model", [S19J, S21])
async def test_a_change_of_pools_that_is_killed_at_any_step_is_put_in_order(model: str) -> None:
    async with on_site(model, NETWORK, memory=KeptMemory()) as where:
        web = Web(where)
        await create_again(where, web=web).set_pools(NEW)
        for at in range(len(web.sent) + 1):
            for moment in ("before", "after"):
                await killed_and_recovered(where, **{moment: at})
        if model == S19J:
            for at in range(2):
                await killed_and_recovered(where, note=at)


async def killed_and_recovered(where: OnSite, note: int = -1, **death: int) -> None:
    where.site.swap(where.endpoint().address)
    where.machine().boot_at = where.clock.at - 7200
    machine, memory, left = where.machine(), memory_of(where), note
    before, web = targets(machine.pools), Web(where, **death)

    def write() -> None:
        nonlocal left
        web.die(left == 0)
        left -= 1

    memory.before_write = write
    with suppress(Killed):
        await create_again(where, web=web).set_pools(NEW)
    memory.before_write = lambda: None
    where.clock.at += 60
    was_noted = UNFINISHED in memory.kept
    fresh = create_again(where)
    assert isinstance(fresh, Recovers)
    assert ((await fresh.recover()) is not None) == was_noted
    where.clock.at += 60
    machine.settle(where.clock.at)
    assert memory.kept == {}
    assert targets(machine.pools) in (before, targets(NEW))
    if was_noted:
        assert targets(machine.pools) == targets(NEW)


async def test_a_list_that_could_not_be_put_to_use_stays_noted() -> None:
    async with acting(S19J, NETWORK) as (where, driver):
        broken = Broken(where)
        receipt = await create_again(where, web=broken).set_pools(NEW)
        assert "not used yet" in receipt.words
        assert UNFINISHED in memory_of(where).kept
        outcome = await act(where, driver, "set_pools", NEW)
        assert outcome.verdict is Verdict.VERIFIED
        assert memory_of(where).kept == {}


class Broken(Web):
    """A web client whose way is gone once the list is written."""

    async def request(self, method: str, url: str, *, body: bytes | None = None, **kw: Any) -> Any:
        if body and b"restart" in body:
            raise Unreachable("no way")
        return await super().request(method, url, body=body, **kw)
