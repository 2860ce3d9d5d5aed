"""An order, what it came to on each device, and the job that follows it over many."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from agent.command.effects import Verdict
from agent.command.verb import Verb
from agent.fleet.inventory import Device
from drivers.actions import Answer
from drivers.model import MinerReading, Reading, State
from drivers.model_gpu import GpuReading


class Objection(NamedTuple):
    """Why an order may not go to a device."""

    reason: str
    """In a word: `locked`, `not_allowed`, `incapable` or `recovering`."""
    words: str


class Held(NamedTuple):
    """Why an order was not sent to a device."""

    verdict: Verdict
    words: str
    reason: str | None = None
    """Of an objection of this node."""


class Gate(Protocol):
    """What its sender lets an order be sent by: it may be called off, or its time be over."""

    def held(self, device: Device) -> Held | None:
        """Why it is not to be sent any more; asked often, also while it waits."""

    async def sending(self, device: Device) -> Held | None:
        """Called last of all, directly before it is sent; where nothing is said, it is."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants done."""

    id: str
    verb: Verb
    params: Any
    who: str
    """The sender: `local:<user>`, or the key of a signed command."""
    target: str = ""
    """As the sender wrote it."""
    digest: str | None = None
    """SHA-256 (hex) of the signed command that it is, for the audit; None where it is none."""
    gate: Gate | None = None
    """Orders of a person on this host have none: they are sent while he waits."""


class GpuEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the reading of a GPU shows beside that; as in a reading."""

    power_limit_enforced_w: float | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    throttle_reasons: tuple[str, ...] | None = None
    persistence: bool | None = None
    compute_mode: str | None = None
    ecc_enabled: bool | None = None
    ecc_pending: bool | None = None
    mig_enabled: bool | None = None
    mig_pending: bool | None = None
    mig_layout: tuple[str, ...] | None = None
    """The profiles of its instances, in the order of their names."""
    fan_duty_percent: float | None = None
    """Of the slowest fan."""
    recovery_action: str | None = None
    processes: int | None = None
    """How many hold it."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a reading shows that bears on an action."""

    at: datetime
    """When the reading was taken."""
    state: State
    hashrate_ths: float | None = None
    power_w: float | None = None
    power_source: str | None = None
    """As in a reading."""
    power_limit_w: float | None = None
    mode: str | None = None
    """The preset, where it shows one, else the mode."""
    pools: tuple[str, ...] | None = None
    """In their order, each as `user@host:port`, without passwords."""
    gpu: GpuEvidence | msgspec.UnsetType = msgspec.UNSET
    """Of GPUs alone; absent elsewhere."""


def evidence(reading: Reading | None, aspect: str | None = None) -> Evidence | None:
    """The evidence in a reading; pools, without their passwords, only where pools are set."""
    if reading is None:
        return None
    if isinstance(reading, GpuReading):
        return _of_gpu(reading)
    if not isinstance(reading, MinerReading):
        return Evidence(at=reading.taken_at, state=reading.state)
    return Evidence(
        at=reading.taken_at,
        state=reading.state,
        hashrate_ths=reading.hashrate_ths,
        power_w=reading.power_w,
        power_source=reading.power_source,
        power_limit_w=reading.power_limit_w,
        mode=reading.preset or reading.mode,
        pools=reading.pool_targets if aspect == "pools" else None,
    )


def _of_gpu(reading: GpuReading) -> Evidence:
    shown = {name: getattr(reading, name) for name in GpuEvidence.__struct_fields__}
    if reading.processes is not None:
        shown["processes"] = len(reading.processes)
    return Evidence(
        at=reading.taken_at,
        state=reading.state,
        power_w=reading.power_w,
        power_source=reading.power_source,
        power_limit_w=reading.power_limit_w,
        gpu=GpuEvidence(**shown),
    )


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How an order ended on one device."""

    device_id: str
    address: str
    verdict: Verdict
    words: str
    """The device's own, or why nothing was sent."""
    reason: str | None = None
    """In a word, where this node objected: see `Objection`."""
    answer: Answer | None = None
    """What the device said; null where it was asked nothing."""
    before: Evidence | None = None
    """What a reading showed before the order."""
    after: Evidence | None = None
    """What the reading showed that settled it, or the last one that was taken."""
    waited_s: float = 0.0
    """From the order to its dispatch to this device."""
    answered_s: float | None = None
    """From the dispatch to the device's answer."""
    proved_s: float | None = None
    """From the dispatch to the reading that settled it."""


class Job:
    """An order on its way through many devices."""

    def __init__(self, order: Order, devices: list[Device], at: float) -> None:
        self.order = order
        self.devices = devices
        self.begun_at = at
        self.results: list[Result] = []
        self.verdicts: Counter[Verdict] = Counter()
        self._news: asyncio.Future[None] | None = None

    @property
    def done(self) -> bool:
        """True when every device has its verdict."""
        return len(self.results) >= len(self.devices)

    def end(self, result: Result) -> None:
        """Note how it ended on one device."""
        self.results.append(result)
        self.verdicts[result.verdict] += 1
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def counts(self) -> dict[str, int]:
        """How many devices came to each verdict."""
        return {str(verdict): count for verdict, count in self.verdicts.most_common()}

    async def follow(self) -> AsyncIterator[Result]:
        """Every result, as it comes."""
        shown = 0
        while True:
            while shown < len(self.results):
                shown += 1
                yield self.results[shown - 1]
            if self.done:
                return
            if self._news is None or self._news.done():
                self._news = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._news)  # others may be waiting for the same
