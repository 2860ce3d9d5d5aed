"""Actions on simulated machines, judged as the agent judges them, with time that is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from agent.command.effects import Proof, Verdict
from drivers.actions import Receipt, Watched
from drivers.api import Driver
from drivers.capabilities import ACTIONS, Refreshes, capabilities
from drivers.errors import DriverError
from drivers.model import MinerReading
from drivers.probe import probe
from drivers.sim.lies import Lie
from tests.wire.simsite import OnSite, on_site

FIRST_GAP_S, LONGEST_GAP_S = 5.0, 60.0
"""Looks come further and further apart, as the agent's do; the last one when time is up."""


class Killed(BaseException):
    """The process dies here."""


class KeptMemory:
    """A `Memory` that outlives its driver, and can kill the process at a write."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.before_write: Callable[[], None] = lambda: None
        """Called before each write takes place."""

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self.before_write()
        self.kept[key] = value

    async def forget(self, key: str) -> None:
        self.before_write()
        self.kept.pop(key, None)


class Outcome(NamedTuple):
    """What an action came to."""

    receipt: Receipt
    verdict: Verdict
    before: MinerReading
    after: MinerReading | None


async def reading_of(driver: Driver) -> MinerReading:
    """A reading of everything, nothing of it kept from an earlier one."""
    if isinstance(driver, Refreshes):
        driver.refresh()
    reading = (await driver.read()).reading
    assert isinstance(reading, MinerReading)
    return reading


async def act(where: OnSite, driver: Driver, action: str, *args: Any, **kwargs: Any) -> Outcome:
    """Do something to a device and wait, in the site's time, for what its readings show."""
    assert action in ACTIONS
    assert action in capabilities(driver), f"{action} is not among {capabilities(driver)}"
    before = await reading_of(driver)
    who = await driver.identify() if action == "set_hostname" else None
    receipt = await getattr(driver, action)(*args, **kwargs)
    assert isinstance(receipt, Receipt)
    if receipt.expectation is None:
        return Outcome(receipt, Verdict.NOT_VERIFIED, before, None)
    watched = receipt.expectation.watched
    basis = who if who is not None and watched is Watched.IDENTITY else before
    proof = Proof(receipt, basis, where.clock.at)
    where.clock.at = proof.look_at
    after: MinerReading | None = None
    gap_s = FIRST_GAP_S
    while True:
        try:
            after = await reading_of(driver)
            seen = after if watched is Watched.READING else await driver.identify()
        except DriverError:
            pass  # it may be booting
        else:
            verdict = proof.see(seen, where.clock.at)
            if verdict is not None:
                return Outcome(receipt, verdict, before, after)
        if where.clock.at >= proof.until:
            return Outcome(receipt, proof.end(), before, after)
        where.clock.at = min(where.clock.at + gap_s, proof.until)
        gap_s = min(2 * gap_s, LONGEST_GAP_S)


@asynccontextmanager
async def acting(
    model: str, network: str, lie: Lie | None = None, *orders: str, **values: Any
) -> AsyncIterator[tuple[OnSite, Driver]]:
    """A machine of a type on the wire, lying as told, and the driver that the probe finds."""
    async with on_site(model, network, 2, memory=KeptMemory(), **values) as where:
        finding = await probe(where.endpoint(), where.context)
        where.site.lie(where.endpoint().address, lie, *orders)
        try:
            yield where, finding.driver
        finally:
            await finding.driver.close()


WORDS: dict[Lie | None, Verdict] = {
    None: Verdict.VERIFIED,
    Lie.DOES_NOTHING: Verdict.CONTRADICTED,
    Lie.SILENT: Verdict.VERIFIED_UNANSWERED,
    Lie.DEAF: Verdict.NOT_VERIFIED,
    Lie.REFUSES: Verdict.REFUSED,
    Lie.DENIES: Verdict.CONTRADICTED,
}
"""What each habit has to come to, for an action whose effect shows in readings."""
