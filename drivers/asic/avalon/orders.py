"""What an Avalon is told: one option of `ascset` for each order.

The firmware answers S 119 "ASC 0 set OK" or I 118 with words of its own, both of which are a yes.
Soft off and on name the second at which to act, by the machine's own clock: a time that has passed
is ignored. That clock may be wherever it likes (the A10 manual's shows hours since boot), so it is
asked first: every answer carries it as `When`.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.actions import Answer, Check, Expectation, Receipt, Relation
from drivers.api import Context
from drivers.asic import effects
from drivers.asic.avalon.kinds import UNKNOWN, Kind
from drivers.asic.avalon.modules import modules, whole
from drivers.asic.avalon.state import mode_of
from drivers.asic.fields import number
from drivers.errors import BadReply, DriverError, Refused, Unreachable
from drivers.wire.cgminer import CgminerRpc, rows, status_of
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered

LEAD_S = 3
"""Between the order and the second it names: peers take 5 (all of them) or 10, in case the clocks
differ. Ours is the machine's, to the second, and the answer takes well under one."""
ANSWER_S = 15.0
"""The controller answers one at a time, and slowly while it starts."""
BOOT_S = 600.0
"""A Q was away for 230 s after a reboot (public notes on one)."""
WAKE_S = 900.0
_UNKNOWN_OPTION = "unknown option"
_DUTY_SLACK = 3.0
"""`FanR` is what the fans are driven at: it comes close to what was set."""
_LEVELS = (-2, -1, 1, 2)
"""Levels that a mode may carry in a reading; 0 is not written."""


class Orders:
    """Sends orders to one machine."""

    __slots__ = ("_context", "_rpc", "kind")

    def __init__(self, context: Context, rpc: CgminerRpc) -> None:
        self._context = context
        self._rpc = rpc
        self.kind: Kind = UNKNOWN

    async def set(self, option: str) -> str:
        """Set one option; the device's own words. Raises as `CgminerRpc.ask` does."""
        reply = await self._rpc.ask("ascset", f"0,{option}", deadline=self.deadline())
        return status_of(reply).message

    def deadline(self) -> Deadline:
        """How long one order may take."""
        return Deadline(self._context.clock, ANSWER_S)

    # --- sleep ---------------------------------------------------------------------------

    async def pause(self) -> Receipt:
        """Soft off, or the boards' power where the firmware is older than that."""
        at = await self._soon()
        receipt = await ordered(
            self.set(f"softoff,1:{at}"), effects.asleep(120.0, look_after_s=LEAD_S + 1.0)
        )
        if self.kind.off and _is_unknown(receipt):
            return await ordered(self.set(self.kind.off), _UNPOWERED)
        return receipt

    async def resume(self) -> Receipt:
        """Soft on, which some answer by hanging up; without it, a boot (A10 manual 2.6)."""
        at = await self._soon()
        awake = effects.awake(WAKE_S, look_after_s=90.0)
        receipt = await ordered(self.set(f"softon,1:{at}"), awake)
        if self.kind.off and _is_unknown(receipt):
            return await ordered(self.set("reboot,0"), awake)
        return receipt

    async def _soon(self) -> int:
        """The second to act at, by the machine's clock; by ours where it shows none."""
        clock = self._context.clock
        before = clock.now()
        reply = await self._rpc.ask("version", deadline=self.deadline())
        shown = number(next(iter(rows(reply, "STATUS")), {}).get("When"))
        at = before if shown is None or shown <= 0 else shown + max(0.0, clock.now() - before)
        return int(at) + LEAD_S

    # --- starting anew -------------------------------------------------------------------

    async def reboot(self) -> Receipt:
        """Boot the machine now: the number is a delay in seconds."""
        expectation = effects.restarted(BOOT_S, look_after_s=30.0)
        return await ordered(self.set("reboot,0"), expectation)

    async def restart_mining(self) -> Receipt:
        """The program's own command: it goes away with a word, or without."""
        expectation = effects.restarted(300.0, look_after_s=10.0)
        return await ordered(self._restart(), expectation)

    async def _restart(self) -> str:
        return status_of(await self._rpc.ask("restart", deadline=self.deadline())).message

    async def factory_reset(self) -> Receipt:
        """Tether's MDK sends this; no reading shows that all is as the factory left it."""
        return await ordered(self.set("restore"), None)

    # --- modes, light, fans --------------------------------------------------------------

    async def set_mode(self, mode: str) -> Receipt:
        """Set a mode, and boot where it only counts from then on."""
        kind = self.kind
        effects.among(mode, kind.modes, "mode")
        at = kind.modes.index(mode)
        if kind.mode_query and (words := await self._set_already(at, mode)):
            return Receipt(answer=Answer.ACCEPTED, words=words, expectation=_in_mode(mode, kind))
        orders = [order.format(number=at) for order in kind.mode_orders]
        return await ordered(self.one_by_one(orders), _in_mode(mode, kind, orders[1:]))

    async def _set_already(self, at: int, mode: str) -> str:
        """The machine's words where the mode is set and at work: a boot would be for nothing."""
        found = modules(await self._rpc.ask("stats", deadline=self.deadline()))
        if mode_of(found) != mode:
            return ""
        try:
            words = await self.set(self.kind.mode_query)
        except Refused:
            return ""
        return words if f"WORKMODE[{at}]" in words.replace(" ", "") else ""

    async def one_by_one(self, orders: Sequence[str]) -> str:
        """Give orders that belong together; gives the first one's words.

        A refusal ends it. Silence does not, for the firmware may have heard: it is raised when all
        have been given.
        """
        said: list[str] = []
        silent: DriverError | None = None
        for at, order in enumerate(orders):
            try:
                said.append(await self.set(order))
            except Refused:
                raise
            except DriverError as error:
                if not at and never_left(error):
                    raise
                silent = silent or error
        if silent is not None:
            raise unheard(silent)
        return said[0]

    async def locate(self, *, on: bool) -> Receipt:
        """Light the white lamp, on every module of an old controller."""
        light = self.kind.light
        numbers = await self._modules() if "{module}" in light else [1]
        orders = [light.format(module=number, on=int(on)) for number in numbers]
        expectation = effects.shows("locating", on, 60.0)
        return await ordered(self.one_by_one(orders), expectation)

    async def _modules(self) -> list[int]:
        found = modules(await self._rpc.ask("stats", deadline=self.deadline()))
        numbers = [module.number for module in found if whole(module.fields, "Led") is not None]
        if not numbers:
            raise Refused(None, "no module of this controller shows a light")
        return numbers

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """Hold a duty; the firmware takes 15 to 100 and says so, and -1 hands the fans back.

        It goes on watching its temperatures. That the fans are its own again no reading shows.
        """
        if percent is None:
            return await ordered(self.set("fan-spd,-1"), None)
        effects.within(percent, 0.0, 100.0, "%")  # below 0 would mean: automatic
        duty = round(percent)
        return await ordered(self.set(f"fan-spd,{duty}"), _blowing(duty))


def never_left(error: DriverError) -> bool:
    """True where the device cannot have heard."""
    return not error.sent and not isinstance(error, BadReply)


def unheard(error: DriverError) -> Unreachable:
    """The failure of one among several orders: some of them have been heard."""
    found = Unreachable(str(error))
    found.sent = True
    return found


def _is_unknown(receipt: Receipt) -> bool:
    return receipt.answer is Answer.REFUSED and _UNKNOWN_OPTION in receipt.words.lower()


_UNPOWERED = Expectation(
    any_of=(
        (
            Check("hashrate_ths", Relation.AT_MOST, 0.0),
            Check("power_output_w", Relation.AT_MOST, 0.0),
        ),
    ),
    look_after_s=2.0,
    until_s=120.0,
)
"""Its supply gives the boards nothing; such a firmware has no word for sleep."""


def _in_mode(mode: str, kind: Kind, reboots: Sequence[str] = ()) -> Expectation:
    """It shows the mode, with whatever level, and has booted where the mode needs that."""
    booted = (Check("uptime_s", Relation.BELOW_BEFORE),) if reboots else ()
    words = (mode, *(f"{mode}, level {level}" for level in _LEVELS))
    return Expectation(
        any_of=tuple((Check("mode", Relation.EQUALS, word), *booted) for word in words),
        look_after_s=30.0 if reboots else 5.0,
        until_s=BOOT_S,
    )


def _blowing(duty: int) -> Expectation:
    low, high = duty - _DUTY_SLACK, duty + _DUTY_SLACK
    return Expectation(
        any_of=(
            (
                Check("fan_duty_percent", Relation.AT_LEAST, low),
                Check("fan_duty_percent", Relation.AT_MOST, high),
            ),
        ),
        look_after_s=5.0,
        until_s=120.0,
    )
