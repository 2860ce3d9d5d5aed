"""What a machine with ePIC's firmware is: its identity, and what its slow pages say. Pure.

Source: ePIC's API documents, v1 to v3, and a recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from drivers.asic.fields import (
    Row,
    common,
    integer,
    mac,
    miner_id,
    number,
    positive,
    text,
)
from drivers.asic.kept import Kept
from drivers.asic.models import known
from drivers.asic.page_parts import BOARDS_LIMIT, listed, section
from drivers.errors import WrongProtocol
from drivers.model import Identity, Kind

_SIGNS = ("Session", "HBs", "Stratum", "StratumConfigs")
"""At least one of these is in every version's summary."""
_ALGORITHMS = {"sha-256": "sha256", "sha256": "sha256", "blake2b": "blake2b"}


class Build(NamedTuple):
    """What the slow pages say of the machine."""

    model: str | None = None
    chips_expected: int | None = None
    serials: tuple[str, ...] = ()
    sensors_on_chips: bool = False
    default_ths: float | None = None
    """The rate that the machine is made for."""
    chips: Mapping[int, int] = {}
    """Board to chips that hash."""


Slow = Kept[Build]
NO_BUILD = Build()


def checked(summary: Any) -> dict[str, Any]:
    """The summary; raises `WrongProtocol` for a page that is none of ePIC's."""
    if isinstance(summary, dict) and any(sign in summary for sign in _SIGNS):
        return summary
    raise WrongProtocol("an HTTP server answers, but not ePIC's")


def words_of(summary: Row) -> tuple[str, ...]:
    """What a machine calls itself in its summary, and whom it mines for."""
    login = next((row.get("login") for row in listed(summary.get("StratumConfigs"), 1)), None)
    return tuple(
        text(word) or "" for word in (summary.get("Software"), summary.get("Hostname"), login)
    )


def uptime_of(summary: Row) -> float | None:
    """Since when the mining program runs: it begins anew with `softreboot` and `miner` too."""
    return number(section(summary, "Session").get("Uptime"))


def is_mining(summary: Row) -> bool:
    """True where the firmware says that it mines."""
    return state_word(summary) == "mining"


def parse_identity(summary: Any, capabilities: Any, network: Any, provisional_id: str) -> Identity:
    """Put together what the three pages say; any of them may be missing (None)."""
    if not isinstance(capabilities, dict) or "Model" not in capabilities:
        checked(summary)
    address = next((found for each in _interfaces(network) if (found := mac(each))), None)
    serial = text(section(capabilities, "Control Board Version").get("cpuSerial"))
    model = _model(section(capabilities).get("Model"))
    algorithm = text(section(summary, "Mining").get("Algorithm"))
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=Kind.ASIC,
        make=_make(model),
        model=model,
        firmware="epic",
        firmware_version=common(section(summary).get("Software")),
        serial=serial,
        mac=address,
        hostname=text(section(summary).get("Hostname")),
        algorithm=_ALGORITHMS.get(algorithm.lower(), algorithm.lower()) if algorithm else None,
    )


def _interfaces(network: Any) -> Iterable[Any]:
    """The MACs of `{"dhcp": {...}}` or `{"static": {...}}`, also without that level."""
    rows = (network, *network.values()) if isinstance(network, dict) else ()
    return (row.get("mac_address") for row in rows if isinstance(row, dict))


def _model(value: Any) -> str | None:
    """The machine as its maker writes it: ePIC says `AntMiner`."""
    name = text(value)
    if name and name.lower().startswith("antminer"):
        return common("Antminer" + name[len("antminer") :])
    return common(name)


def _make(model: str | None) -> str | None:
    if model is None:
        return None
    return "Bitmain" if model.startswith("Antminer") else "ePIC"


def parse_build(capabilities: Any) -> dict[str, Any]:
    """What `/capabilities` says of the machine, as fields of `Build`."""
    found = section(capabilities)
    model = _model(found.get("Model"))
    knowledge = known(model)
    # The recorded S19 XP says 110 here, the chips of one board.
    chips = integer(section(found, "Performance Estimator").get("Chip Count"))
    serials = found.get("Board Serial Numbers")
    sensors = section(found, "Temp Sensor Info")
    return {
        "model": model,
        "chips_expected": chips or (knowledge.chips if knowledge else None),
        "serials": tuple(text(word) or "" for word in serials[:BOARDS_LIMIT])
        if isinstance(serials, list)
        else (),
        "sensors_on_chips": sensors.get("Type") == "Chip",
        "default_ths": positive(found.get("Default Hashrate")),
    }


def parse_chips(pages: Any) -> dict[int, int]:
    """How many chips of each board hash, from `/hashrate`: a row a chip, its rate first."""
    found: dict[int, int] = {}
    for row in listed(pages, BOARDS_LIMIT):
        index, chips = integer(row.get("Index")), row.get("Data")
        if index is not None and isinstance(chips, list):
            found[index] = sum(1 for chip in chips if _is_hashing(chip))
    return found


def _is_hashing(chip: Any) -> bool:
    return bool(positive(chip[0] if isinstance(chip, list) and chip else chip))


def state_word(summary: Row) -> str | None:
    """The operating state in small letters."""
    word = text(section(summary, "Status").get("Operating State"))
    return word.lower() if word else None
