"""What can be done to a machine with LuxOS, in one command or with its thermal management held.

Source: Luxor's documentation of `curtail`, `rebootdevice`, `resetminer`, `profileset`, `atmset`,
`ledset`, `fanset` and `tempctrlset`. A profile is not taken while ATM (thermal management) is on,
so it is switched off for that moment, which is noted before.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from drivers.actions import Answer, Expectation, Latency, Receipt
from drivers.api import Clock, Memory
from drivers.asic.effects import among, asleep, awake, limited, restarted, shows, within
from drivers.asic.fields import number, truth
from drivers.asic.luxos.profiles import row_of, watts_by_profile
from drivers.asic.luxos.sessions import session, speak
from drivers.asic.unfinished import Note, as_json, begin, finish
from drivers.errors import DriverError, OutOfRange, Refused
from drivers.wire.cgminer import CgminerRpc, Report, rows
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered

ACT_S = 10.0
"""For one command: the documented ones answer at once, and do what they say afterwards."""
ASLEEP = asleep(60.0, look_after_s=6.0)
"""Asleep within five seconds, says the maker."""
AWAKE = awake(900.0, look_after_s=200.0)
"""A wake-up ramps as after a boot (documented): minutes."""
RESTARTED, BOOTED = restarted(300.0, look_after_s=20.0), restarted(600.0, look_after_s=90.0)
PROFILED_S, SHOWN_S = 120.0, 60.0
SETTLED_S = 10.0
"""When a profile or a duty shows."""
HOLDING = "hold thermal management"
"""The action in the note of a run that has switched ATM off."""

LATENCIES: dict[str, Latency] = {
    "pause": Latency.SECONDS,
    "resume": Latency.MINUTES,
    "restart_mining": Latency.MINUTES,
    "reboot": Latency.MINUTES,
    "limit_power": Latency.MINUTE,
    "choose_preset": Latency.MINUTE,
    "set_pools": Latency.MINUTE,
    "locate": Latency.SECONDS,
    "set_fan_duty": Latency.SECONDS,
    "set_temp_target": Latency.SECONDS,
}


async def order(
    rpc: CgminerRpc, clock: Clock, expectation: Expectation | None, command: str, *words: str
) -> Receipt:
    """One command that wants a session."""
    async with session(rpc, clock) as token:
        deadline = Deadline(clock, ACT_S)
        return await ordered(speak(rpc, deadline, command, token, *words), expectation)


# --- power ---------------------------------------------------------------------------------


class Power(msgspec.Struct, frozen=True):
    """What the machine says of its power before that is changed."""

    watts: dict[str, float | None]
    """Of each profile, by name."""
    takes_watts: bool
    lowest_w: float | None
    highest_w: float | None
    is_managed: bool
    """True while ATM may change the profile."""


async def ask_power(rpc: CgminerRpc, clock: Clock) -> Power:
    """Raises where the profiles cannot be read."""
    report = await rpc.ask_all(
        ("profiles", "config", "atm", "limits"), deadline=Deadline(clock, ACT_S)
    )
    if "profiles" in report.errors:
        raise report.errors["profiles"]
    config, limits = row_of(report, "config", "CONFIG"), row_of(report, "limits", "LIMITS")
    return Power(
        watts=watts_by_profile(report),
        takes_watts=bool(truth(config.get("IsPowerTargetSupported"))),
        lowest_w=number(limits.get("PowerTargetMin")),
        highest_w=number(limits.get("PowerTargetMax")),
        is_managed=_is_managed(report, config),
    )


def _is_managed(report: Report, config: Any) -> bool:
    told = truth(row_of(report, "atm", "ATM").get("Enabled"))
    return bool(truth(config.get("IsAtmEnabled")) if told is None else told)


async def limit_power(rpc: CgminerRpc, clock: Clock, memory: Memory, limit_w: float) -> Receipt:
    """By the watt where the machine takes power targets, else by the highest profile below it."""
    power = await ask_power(rpc, clock)
    if power.takes_watts:
        within(limit_w, power.lowest_w, power.highest_w, "W")
        # Only `power=` is taken; a bare number is an error (a public client, on 2026.4.3).
        words = f"power={int(limit_w)}"
        return await order(
            rpc,
            clock,
            limited(int(limit_w), PROFILED_S, look_after_s=SETTLED_S),
            "powertargetset",
            words,
        )
    known = {name: watts for name, watts in power.watts.items() if watts is not None}
    if not known:
        raise Refused(None, "this machine says of none of its profiles what it draws")
    within(limit_w, min(known.values()), max(known.values()), "W")
    name = max((each for each in known if known[each] <= limit_w), key=lambda each: known[each])
    return await _choose(rpc, clock, memory, name, power.is_managed)


async def choose_preset(rpc: CgminerRpc, clock: Clock, memory: Memory, preset: str) -> Receipt:
    """Raises `OutOfRange` naming the profiles there are."""
    power = await ask_power(rpc, clock)
    among(preset, tuple(power.watts), "profile")
    return await _choose(rpc, clock, memory, preset, power.is_managed)


async def _choose(
    rpc: CgminerRpc, clock: Clock, memory: Memory, name: str, is_managed: bool
) -> Receipt:
    expectation = shows("preset", name, PROFILED_S, look_after_s=SETTLED_S)
    if not is_managed:
        return await order(rpc, clock, expectation, "profileset", name)
    async with session(rpc, clock) as token:
        await begin(memory, Note(action=HOLDING, at=clock.now(), before=as_json({"atm": True})))
        try:
            await speak(rpc, Deadline(clock, ACT_S), "atmset", token, "enabled=false")
            receipt = await ordered(
                speak(rpc, Deadline(clock, ACT_S), "profileset", token, name), expectation
            )
        finally:
            managed = await _manage_again(rpc, clock, memory, token)
    if not managed:
        words = f"{receipt.words}; its thermal management is still off"
        return msgspec.structs.replace(receipt, words=words)
    return receipt


async def _manage_again(rpc: CgminerRpc, clock: Clock, memory: Memory, token: str) -> bool:
    """Switch ATM on, and drop the note where the machine shows that it is; else the note stays."""
    deadline = Deadline(clock, ACT_S)
    with suppress(DriverError):
        with suppress(DriverError):
            await speak(rpc, deadline, "atmset", token, "enabled=true")
        answer = await rpc.ask("atm", deadline=deadline)
        if any(truth(row.get("Enabled")) for row in rows(answer, "ATM")):
            await finish(memory)
            return True
    return False


async def manage_again(rpc: CgminerRpc, clock: Clock, memory: Memory) -> Receipt:
    """What a run that was killed left switched off is switched on; raises where that fails."""
    async with session(rpc, clock) as token:
        if not await _manage_again(rpc, clock, memory, token):
            raise Refused(None, "the miner's thermal management stays off")
    return Receipt(answer=Answer.ACCEPTED, words="thermal management is on again")


# --- cooling -------------------------------------------------------------------------------


async def set_fan_duty(rpc: CgminerRpc, clock: Clock, percent: float | None) -> Receipt:
    """-1 hands the fans back (documented), which no answer shows: `Speed` is what they run at."""
    if percent is None:
        return await order(rpc, clock, None, "fanset", "speed=-1")
    if not 0 <= percent <= 100:
        raise OutOfRange(f"{percent:g} %", "0 to 100 %")
    whole = round(percent)
    expectation = shows("fan_duty_percent", float(whole), SHOWN_S, look_after_s=SETTLED_S)
    return await order(rpc, clock, expectation, "fanset", f"speed={whole}")


async def set_temp_target(rpc: CgminerRpc, clock: Clock, temp_c: float) -> Receipt:
    """The target alone; it may not lie above the temperature that counts as hot (documented)."""
    answer = await rpc.ask("tempctrl", deadline=Deadline(clock, ACT_S))
    hot_c = next((number(row.get("Hot")) for row in rows(answer, "TEMPCTRL")), None)
    within(temp_c, 0.0, hot_c, "°C")
    return await order(
        rpc,
        clock,
        shows("temp_target_c", temp_c, SHOWN_S),
        "tempctrlset",
        f"target_temp={temp_c:g}",
    )
