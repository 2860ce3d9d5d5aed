"""Answers what clients ask: takes it apart by GPU, and puts the answers together again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable

from drivers.errors import DriverError
from drivers.gpu import wants
from drivers.gpu.answers import (
    Done,
    DriverFacts,
    EventKind,
    GpuFound,
    GpuScan,
    Inventoried,
    Scanned,
    ServerMessage,
    WasSet,
    problem_of,
)
from drivers.gpu.errands import Errand, Examine, Examined, Put, Read, Returned, WasPut, WasRead
from drivers.gpu.errors import (
    DriverHung,
    GpuUnknown,
    NotAllowed,
    Released,
    Restarting,
)
from drivers.gpu.gazette import Gazette
from drivers.gpu.keeper import Keeper
from drivers.gpu.protocol import Inventory, Release, Reset, Resume, Scan, Set, Tier

RESET, MIG, FAN = "reset", "mig", "fan"
GATED: dict[type, str] = {
    wants.MigMode: MIG,
    wants.MigLayout: MIG,
    wants.FanDuty: FAN,
}
"""What is off unless it is allowed by name, as the reset is."""
LOOK_S = 15.0
RELEASE_S = 10.0
ResetGpu = Callable[[str, float], Awaitable[str]]


class Office:
    """Between the clients and the keeper of the child."""

    def __init__(
        self, keeper: Keeper, gazette: Gazette, allowed: Collection[str], reset_gpu: ResetGpu
    ) -> None:
        self._keeper = keeper
        self._gazette = gazette
        self._allowed = frozenset(allowed)
        self._reset_gpu = reset_gpu
        self._resuming: asyncio.TimerHandle | None = None
        self._resetting = asyncio.Lock()
        self._blown: set[str] = set()
        self.answered = 0

    # --- reading -----------------------------------------------------------------------------

    async def inventory(self, request: Inventory) -> ServerMessage:
        """All GPUs that were ever seen, those that are gone with the reason."""
        roll = self._keeper.roll
        try:
            await self._keeper.enumerate(request.within_s)
        except DriverError:
            if not roll.addresses:
                raise
        found = await asyncio.gather(
            *(self._examine(uuid, request.within_s) for uuid in roll.uuids())
        )
        driver = roll.driver or DriverFacts()
        return Inventoried(id=request.id, driver=driver, gpus=tuple(found))

    async def _examine(self, uuid: str, within_s: float) -> GpuFound:
        try:
            returned = await self._ask(uuid, lambda number: Examine(id=number, uuid=uuid), within_s)
        except DriverError as error:
            return GpuFound(uuid, problem=problem_of(error))
        assert isinstance(returned, Examined)  # noqa: S101  the child answers what it was asked
        return GpuFound(uuid, returned.facts)

    async def scan(self, request: Scan) -> ServerMessage:
        """One result for each GPU, in the order asked for."""
        uuids = await self._named(request.uuids, request.within_s)
        scans = await asyncio.gather(
            *(self.read(uuid, request.tiers, request.within_s) for uuid in uuids)
        )
        return Scanned(id=request.id, gpus=tuple(scans))

    async def read(self, uuid: str, tiers: tuple[Tier, ...], within_s: float) -> GpuScan:
        """Read one GPU; a failure is part of the result."""
        try:
            returned = await self._ask(
                uuid, lambda number: Read(id=number, uuid=uuid, tiers=tiers), within_s
            )
        except DriverError as error:
            return GpuScan(uuid, time.time(), problem=problem_of(error))
        assert isinstance(returned, WasRead)  # noqa: S101
        self._gazette.note_action(uuid, returned.scan.values.get("recovery_action"))
        return returned.scan

    async def look_at(self, uuid: str) -> None:
        """Find out what the driver wants done with a GPU, since it said that this changed."""
        scan = await self.read(uuid, (Tier.MEDIUM,), LOOK_S)
        if "recovery_action" not in scan.values:
            words = "the driver changed what it wants done, and does not say to what"
            self._gazette.tell(EventKind.RECOVERY_ACTION, words, uuid=uuid)

    async def _named(self, uuids: Iterable[str] | None, within_s: float) -> list[str]:
        roll = self._keeper.roll
        if uuids is None and not roll.addresses:
            await self._keeper.enumerate(within_s)
        return list(dict.fromkeys(roll.uuids() if uuids is None else uuids))

    # --- setting -----------------------------------------------------------------------------

    async def set(self, request: Set) -> ServerMessage:
        """Set one thing; before all reading that waits."""
        self._permit(GATED.get(type(request.setting)))
        uuid, setting = request.uuid, request.setting
        if isinstance(setting, wants.FanDuty) and setting.percent is not None:
            self._blown.add(uuid)
        returned = await self._ask(
            uuid,
            lambda number: Put(id=number, uuid=uuid, setting=setting),
            request.within_s,
            urgent=True,
        )
        assert isinstance(returned, WasPut)  # noqa: S101
        if isinstance(setting, wants.FanDuty) and setting.percent is None:
            self._blown.discard(uuid)
        return WasSet(
            id=request.id,
            uuid=uuid,
            before=returned.before,
            after=returned.after,
            words=returned.words,
        )

    async def give_fans_back(self) -> None:
        """Have fans follow the heat that a child which is gone left at a fixed duty."""
        for uuid in sorted(self._blown):
            try:
                await self.set(Set(id=0, uuid=uuid, setting=wants.FanDuty(None)))
            except DriverError:
                continue

    async def reset(self, request: Reset) -> ServerMessage:
        """Reset one GPU, which all processes of ours let go of before."""
        self._permit(RESET)
        uuid = request.uuid
        if uuid not in self._keeper.roll.addresses:
            raise GpuUnknown(f"{uuid}: there never was such a GPU here")
        if self._resetting.locked() or self._keeper.released is not None:
            raise self._keeper.released or Restarting("another GPU is being reset")
        async with self._resetting:
            try:
                why = Released(f"{uuid} is being reset")
                if not await self._keeper.release(why, RELEASE_S):
                    raise DriverHung("a process of ours hangs in the driver and holds the GPUs")
                words = await self._reset_gpu(uuid, request.within_s)
            finally:
                self._keeper.resume()
        self._gazette.reset(uuid, words)
        return Done(id=request.id, words=words)

    async def release(self, request: Release) -> ServerMessage:
        """Let go of all GPUs for a while."""
        reason = request.reason or "on request"
        why = Released(f"the GPUs were let go: {reason}")
        self._stop_timer()
        loop = asyncio.get_running_loop()
        self._resuming = loop.call_later(request.for_s, self._resume, "the time is over")
        self._gazette.released(reason)
        if not await self._keeper.release(why, RELEASE_S):
            raise DriverHung("a process of ours hangs in the driver and still holds a GPU")
        return Done(id=request.id, words=f"let go for {request.for_s:.0f} s at the most")

    async def resume(self, request: Resume) -> ServerMessage:
        """Take them up again."""
        self._resume("on request")
        return Done(id=request.id)

    def _resume(self, why: str) -> None:
        self._stop_timer()
        if self._resetting.locked():
            return
        if self._keeper.released is not None:
            self._gazette.resumed(why)
        self._keeper.resume()

    def _stop_timer(self) -> None:
        if self._resuming is not None:
            self._resuming.cancel()
            self._resuming = None

    def _permit(self, gate: str | None) -> None:
        if gate is not None and gate not in self._allowed:
            raise NotAllowed(None, f"{gate} is off: stoker-gpu was started without --allow {gate}")

    async def _ask(
        self,
        uuid: str,
        errand: Callable[[int], Errand],
        within_s: float,
        *,
        urgent: bool = False,
    ) -> Returned:
        return await self._keeper.ask(uuid, errand, within_s, urgent=urgent)
