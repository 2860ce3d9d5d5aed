"""Devices in memory that do what a test tells them; delays end by an event, never by time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from drivers.actions import Answer, Check, Expectation, Latency, Receipt, Relation
from drivers.api import Clock
from drivers.capabilities import PoolSetting
from drivers.errors import DriverError
from drivers.model import (
    Fingerprint,
    Identity,
    Kind,
    MinerReading,
    Pool,
    PowerSource,
    Sample,
    State,
    pool_target,
)

_FULL_W, _ASLEEP_W = 3250.0, 25.0


class Gate:
    """Holds calls of one method until the test opens it; `reached` tells that one waits."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Let the held calls and all later ones pass."""
        self._opened.set()

    async def passed(self) -> None:
        """Wait until the gate is open."""
        self.reached.set()
        await self._opened.wait()


class Script:
    """What the next calls of a device's methods shall do, and the calls made so far."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        """Each call: the method's name and its arguments."""
        self._errors: dict[str, deque[DriverError]] = {}
        self._always: dict[str, DriverError] = {}
        self._answers: dict[str, deque[tuple[Answer, str]]] = {}
        self._gates: dict[str, Gate] = {}

    def fail_next(self, method: str, *errors: DriverError) -> None:
        """Let the next calls of a method raise these, one each."""
        self._errors.setdefault(method, deque()).extend(errors)

    def fail_always(self, method: str, error: DriverError | None) -> None:
        """Let every call of a method raise this, until None is given."""
        self._always.pop(method, None)
        if error is not None:
            self._always[method] = error

    def answer_next(self, method: str, answer: Answer, words: str = "") -> None:
        """Let the next action of that name answer so; only ACCEPTED and UNANSWERED act."""
        self._answers.setdefault(method, deque()).append((answer, words))

    def hold(self, method: str) -> Gate:
        """Let calls of a method wait at a gate."""
        self._gates[method] = Gate()
        return self._gates[method]

    async def called(self, method: str, *arguments: Any) -> None:
        """Note a call; wait and raise as told. A held call fails as told when it goes on."""
        self.calls.append((method, *arguments))
        if gate := self._gates.get(method):
            await gate.passed()
        if errors := self._errors.get(method):
            raise errors.popleft()
        if error := self._always.get(method):
            raise error

    def answer(self, method: str) -> tuple[Answer, str]:
        """What an action answers now."""
        answers = self._answers.get(method)
        return answers.popleft() if answers else (Answer.ACCEPTED, "ok")


class MockReader:
    """A miner that can only be read. Change `now` and `identity` to change what it shows."""

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self.identity = identity
        self.script = Script()
        self.closed = False
        self._clock = clock
        self.now = MinerReading(
            device_id=identity.id,
            kind=Kind.ASIC,
            taken_at=datetime.fromtimestamp(clock.now(), UTC),
            state=State.MINING,
            uptime_s=86_400.0,
            hashrate_ths=110.0,
            hashrate_avg_ths=110.0,
            hashrate_nominal_ths=110.0,
            power_w=_FULL_W,
            power_source=PowerSource.REPORTED,
            power_limit_w=_FULL_W,
            pools=(Pool(url="stratum+tcp://pool.example:3333", user="site.worker"),),
        )

    def show(self, **values: Any) -> None:
        """Change values of the next readings: `show(state=State.FAULT, power_w=None)`."""
        self.now = msgspec.structs.replace(self.now, **values)

    async def identify(self) -> Identity:
        """The identity, or what the script says."""
        await self.script.called("identify")
        self.show(device_id=self.identity.id)
        return self.identity

    async def read(self) -> Sample:
        """What the miner shows now, or what the script says."""
        await self.script.called("read")
        self.show(taken_at=datetime.fromtimestamp(self._clock.now(), UTC))
        traits = (self.identity.model or "mock", self.identity.firmware_version or "")
        return Sample(self.now, Fingerprint(traits=traits, uptime_s=self.now.uptime_s))

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


class MockMiner(MockReader):
    """A miner that also obeys.

    An accepted action shows at once. With `lazy = True` it shows only when the test calls
    `settle()`, and `lose()` drops it: a device that said OK and did nothing.
    """

    latencies: dict[str, Latency] = dict.fromkeys(
        ("pause", "resume", "reboot", "restart_mining", "limit_power", "set_pools", "locate"),
        Latency.SECONDS,
    )

    def __init__(self, identity: Identity, clock: Clock) -> None:
        super().__init__(identity, clock)
        self.lazy = False
        self._pending: list[Callable[[], None]] = []

    def settle(self) -> None:
        """Let all accepted actions show."""
        pending, self._pending = self._pending, []
        for effect in pending:
            effect()

    def lose(self) -> None:
        """Forget all accepted actions that do not show yet."""
        self._pending.clear()

    async def pause(self) -> Receipt:
        """Sleep: no hashrate, little power."""
        return await self._act("pause", (), self._sleep, _state(State.SLEEPING))

    async def resume(self) -> Receipt:
        """Mine again."""
        return await self._act("resume", (), self._wake, _state(State.MINING))

    async def reboot(self) -> Receipt:
        """Start the uptime anew."""
        expected = _expect(Check("uptime_s", Relation.BELOW_BEFORE))
        return await self._act("reboot", (), lambda: self.show(uptime_s=0.0), expected)

    async def restart_mining(self) -> Receipt:
        """Start the uptime anew."""
        expected = _expect(Check("uptime_s", Relation.BELOW_BEFORE))
        return await self._act("restart_mining", (), lambda: self.show(uptime_s=0.0), expected)

    async def limit_power(self, limit_w: float) -> Receipt:
        """Draw no more than that, and hash in proportion."""
        expected = _expect(
            Check("power_limit_w", Relation.EQUALS, limit_w),
            Check("power_w", Relation.AT_MOST, limit_w),
        )
        return await self._act("limit_power", (limit_w,), lambda: self._limit(limit_w), expected)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Show these pools."""
        shown = tuple(Pool(url=pool.url, user=pool.user) for pool in pools)
        wanted = tuple(pool_target(pool.url, pool.user) for pool in pools)
        return await self._act(
            "set_pools",
            (tuple(pools),),
            lambda: self.show(pools=shown),
            _expect(Check("pool_targets", Relation.EQUALS, wanted)),
        )

    async def locate(self, *, on: bool) -> Receipt:
        """Blink, or stop."""
        expected = _expect(Check("locating", Relation.EQUALS, on))
        return await self._act("locate", (on,), lambda: self.show(locating=on), expected)

    async def _act(
        self,
        method: str,
        arguments: tuple[Any, ...],
        effect: Callable[[], None],
        expectation: Expectation | None,
    ) -> Receipt:
        await self.script.called(method, *arguments)
        answer, words = self.script.answer(method)
        if answer is Answer.REFUSED:
            return Receipt(answer=answer, words=words)
        self._pending.append(effect)
        if not self.lazy:
            self.settle()
        return Receipt(answer=answer, words=words, expectation=expectation)

    def _sleep(self) -> None:
        self.show(state=State.SLEEPING, hashrate_ths=0.0, power_w=_ASLEEP_W)

    def _wake(self) -> None:
        self.show(state=State.MINING)
        self._limit(self.now.power_limit_w or _FULL_W)

    def _limit(self, limit_w: float) -> None:
        self.show(power_limit_w=limit_w)
        if self.now.state is State.MINING:
            share = limit_w / _FULL_W
            self.show(power_w=limit_w, hashrate_ths=share * (self.now.hashrate_nominal_ths or 0.0))


def mock_identity(number: int = 1) -> Identity:
    """A plausible identity for each number from 0 to 65,535."""
    mac = f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
    return Identity(
        id=f"asic-{mac}",
        kind=Kind.ASIC,
        make="Mock",
        model="M1",
        firmware="mock",
        firmware_version="1.0",
        mac=mac,
    )


def _state(state: State) -> Expectation:
    return _expect(Check("state", Relation.EQUALS, state))


def _expect(*checks: Check) -> Expectation:
    return Expectation(any_of=(checks,), look_after_s=1.0, until_s=60.0)
