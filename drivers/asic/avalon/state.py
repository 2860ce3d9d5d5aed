"""What an Avalon does and in which mode, in its own words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.asic import parts
from drivers.asic.avalon.faults import has_error
from drivers.asic.avalon.modules import Module, whole, working
from drivers.asic.avalon.names import model_of
from drivers.model import Pool, State

_MODES = {
    # The A10 manual for 0 and 1; more exist since (unverified), they keep their number.
    "": ("normal", "high performance"),
    "Avalon Q": ("eco", "standard", "super"),
    "Avalon Nano 3S": ("low", "mid", "high"),
    "Avalon Nano 3": ("low", "mid", "high"),
    "Avalon Mini 3": (),
}
"""By model: the Q's and Nano 3s' as their web pages and several public drivers call them."""


def mode_of(modules: Sequence[Module]) -> str | None:
    """The mode that is set, where all machines agree; not whether the machine sleeps."""
    modes = {_mode(module.fields) for module in modules[:8]}
    return modes.pop() if len(modes) == 1 else None


def _mode(fields: Mapping[str, str]) -> str | None:
    name = model_of(fields.get("Ver", ""))
    mode, level = _first(fields, "WORKMODE", "MODE"), _first(fields, "WORKLEVEL", "WORKLVL")
    if mode is None:  # the first Nano 3 has levels alone, and they are its modes
        mode, level = (level if name == "Avalon Nano 3" else None), None
    if mode is None:
        return None
    words = _MODES.get(name or "", _MODES[""])
    word = words[mode] if 0 <= mode < len(words) else str(mode)
    return f"{word}, level {level}" if level else word


def _first(fields: Mapping[str, str], *keys: str) -> int | None:
    return next((found for key in keys if (found := whole(fields, key)) is not None), None)


def at_work(modules: Sequence[Module]) -> bool:
    """False where a machine says that it is off or not at work."""
    return all(
        working(module.fields)[0] in (None, "work") and not whole(module.fields, "SoftOFF")
        for module in modules
    )


def state_of(
    modules: Sequence[Module],
    hashrate_ths: float | None,
    uptime_s: float | None,
    pools: tuple[Pool, ...],
) -> State:
    """What the machines say; of several under one controller, what they do together."""
    if hashrate_ths and at_work(modules):
        return State.MINING
    states = {_word(module.fields, hashrate_ths) for module in modules}
    if len(states) == 1 and (said := states.pop()) is not None:
        return said
    return parts.mining_state(hashrate_ths, uptime_s, pools)


_STATES = {"init": State.STARTING, "fault": State.FAULT, "idle": State.IDLE}
"""`sysstatus` in Canaan's driver; work is judged by its rate."""


def _word(fields: Mapping[str, str], hashrate_ths: float | None) -> State | None:
    """The state in a machine's own words, None where they do not settle it.

    `SoftOFF` is the reason for being switched off, 0 for none: 4 on a Q and 5 on a 1346 after the
    command. A 1346 also shows 6 while it boots, so a reason alone is not sleep (one source).
    """
    word, _ = working(fields)
    if word in (None, "idle", "work") and whole(fields, "SoftOFF") and not hashrate_ths:
        return State.SLEEPING
    if word == "idle" and has_error(fields):
        return State.FAULT
    return _STATES.get(word or "")
