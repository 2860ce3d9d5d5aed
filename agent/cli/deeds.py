"""What a technician types after `stoker act TARGET`, made into a verb and its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from agent.errors import AgentError

Wanted = tuple[str, dict[str, Any]]


class Deed(NamedTuple):
    """A word of the command line, how it is used, and what it means."""

    usage: str
    read: Callable[[list[str]], Wanted | None]
    """None where the arguments are not as the usage says."""


def wanted(word: str, arguments: list[str]) -> Wanted:
    """The verb and its parameters; raises `AgentError` with the usage."""
    deed = DEEDS[word]
    try:
        found = deed.read(arguments)
    except ValueError:
        found = None
    if found is None:
        raise AgentError(f"expected: stoker act TARGET {deed.usage}")
    return found


def _plain(verb: str) -> Callable[[list[str]], Wanted | None]:
    return lambda arguments: None if arguments else (verb, {})


def _limit(arguments: list[str]) -> Wanted | None:
    (text,) = arguments
    if text.endswith("%"):
        return "power.throttle", {"percent": float(text[:-1])}
    lower = text.lower()
    if lower.endswith("kw"):
        return "power.limit", {"watts": float(lower[:-2]) * 1000}
    return "power.limit", {"watts": float(lower.removesuffix("w"))}


def _word(verb: str, key: str) -> Callable[[list[str]], Wanted | None]:
    def read(arguments: list[str]) -> Wanted:
        (word,) = arguments
        return verb, {key: word}

    return read


def _pools(arguments: list[str]) -> Wanted | None:
    if not arguments:
        return None
    pools = []
    for text in arguments:
        url, user, *password = text.split(",", 2)
        pools.append({"url": url, "user": user, **({"password": password[0]} if password else {})})
    return "pools.set", {"pools": pools}


def _switch(verb: str) -> Callable[[list[str]], Wanted | None]:
    def read(arguments: list[str]) -> Wanted | None:
        (position,) = arguments
        return (verb, {"on": position == "on"}) if position in ("on", "off") else None

    return read


def _fans(verb: str) -> Callable[[list[str]], Wanted | None]:
    def read(arguments: list[str]) -> Wanted:
        (duty,) = arguments
        return verb, {} if duty == "auto" else {"percent": float(duty.rstrip("%"))}

    return read


def _clocks(verb: str) -> Callable[[list[str]], Wanted | None]:
    def read(arguments: list[str]) -> Wanted:
        (text,) = arguments
        if text == "auto":
            return f"{verb}.reset", {}
        low, dash, high = text.lower().removesuffix("mhz").partition("-")
        return f"{verb}.lock", {"min_mhz": int(low), "max_mhz": int(high if dash else low)}

    return read


def _compute_mode(arguments: list[str]) -> Wanted | None:
    (mode,) = arguments
    return "gpu.compute_mode", {"mode": mode.replace("-", "_")}


def _layout(arguments: list[str]) -> Wanted | None:
    if not arguments:
        return None
    return "gpu.mig.layout", {"profiles": [] if arguments == ["none"] else arguments}


def _temperature(arguments: list[str]) -> Wanted | None:
    (text,) = arguments
    return "temperature.set", {"celsius": float(text.rstrip("cC"))}


DEEDS: dict[str, Deed] = {
    "pause": Deed("pause", _plain("mining.pause")),
    "resume": Deed("resume", _plain("mining.resume")),
    "restart": Deed("restart", _plain("mining.restart")),
    "reboot": Deed("reboot", _plain("device.reboot")),
    "limit": Deed("limit 3000W | limit 3.2kW | limit 60%", _limit),
    "preset": Deed("preset NAME", _word("power.preset", "preset")),
    "mode": Deed("mode NAME", _word("power.mode", "mode")),
    "pools": Deed("pools URL,USER[,PASSWORD] ...", _pools),
    "locate": Deed("locate on | locate off", _switch("locate")),
    "fans": Deed("fans 60% | fans auto", _fans("fans.set")),
    "temperature": Deed("temperature 65C", _temperature),
    "hostname": Deed("hostname NAME", _word("hostname.set", "hostname")),
    "factory-reset": Deed("factory-reset", _plain("device.factory_reset")),
    "power-limit": Deed("power-limit 300W | power-limit 0.3kW", _limit),
    "clocks": Deed("clocks 1200-1500 | clocks 1410 | clocks auto", _clocks("gpu.clocks")),
    "memory-clocks": Deed(
        "memory-clocks 1593-2619 | memory-clocks 1593 | memory-clocks auto",
        _clocks("gpu.memory_clocks"),
    ),
    "persistence": Deed("persistence on | persistence off", _switch("gpu.persistence")),
    "compute-mode": Deed("compute-mode default|exclusive-process|prohibited", _compute_mode),
    "ecc": Deed("ecc on | ecc off", _switch("gpu.ecc")),
    "mig": Deed("mig on | mig off", _switch("gpu.mig.mode")),
    "mig-layout": Deed("mig-layout PROFILE ... | mig-layout none", _layout),
    "gpu-reset": Deed("gpu-reset", _plain("gpu.reset")),
    "gpu-fans": Deed("gpu-fans 60% | gpu-fans auto", _fans("gpu.fan")),
}
