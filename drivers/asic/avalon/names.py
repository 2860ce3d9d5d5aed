"""What an Avalon calls itself: models, builds, serial. Pure.

`version` of the A10 and later has PROD, MODEL, VERSION, DNA and MAC; older ones name nothing
there, and the string of each machine has `Ver[7411706-3162860]` (model and build) and its DNA.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from drivers.asic.avalon.modules import Module
from drivers.asic.fields import Row, common, first, mac, miner_id, number, text
from drivers.asic.models import known
from drivers.model import Identity, Kind
from drivers.wire.cgminer import rows

_BUILDS = ("VERSION", "LVERSION", "CGVERSION", "BVERSION")
_PRODUCT = re.compile(r"avalon\s*(?:miner)?\s*", re.IGNORECASE)
_SERIES = re.compile(r"a?(\d{3,4})\s?([a-z]*)(?![a-z0-9])", re.IGNORECASE)
_OLD = re.compile(r"(\d{3})\d{4}(?![0-9])")
_OLDEST = re.compile(r"([3-6])[01]\d{4}(?![0-9])")
_HOME = (
    (re.compile(r"nano\s?3\s?s(?![a-z])", re.IGNORECASE), "Nano 3S"),
    (re.compile(r"nano\s?3(?![a-z0-9])", re.IGNORECASE), "Nano 3"),
    (re.compile(r"mini\s?3(?![a-z0-9])", re.IGNORECASE), "Mini 3"),
    (re.compile(r"(?:home)?q(?![a-z0-9])", re.IGNORECASE), "Q"),
)
_A15 = re.compile(r"15-(\d{3})(?!\d)")
_A15_LIMIT_THS = 200


def identity(version: dict[str, Any], modules: Sequence[Module], provisional_id: str) -> Identity:
    """Put together what `version` and the strings say; either may be empty.

    A controller of several machines has no serial of its own.
    """
    row = (rows(version, "VERSION") or [{}])[0]
    fields: Mapping[str, str] = modules[0].fields if modules else {}
    alone = len(modules) <= 1
    address = mac(row.get("MAC"))
    serial = _serial(row.get("DNA")) or (_serial(fields.get("DNA")) if alone else None)
    model = model_in(row, fields.get("Ver"))
    whole = known(model)
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=Kind.ASIC,
        make="Canaan",
        model=model,
        firmware="stock",
        firmware_version=common(first(row, _BUILDS)) or build_in(fields.get("Ver")),
        serial=serial,
        mac=address,
        algorithm=whole.algorithm if whole else None,
    )


def model_in(row: Row, ver: str | None) -> str | None:
    """The maker's name of the model, by the most telling of what names it."""
    words = (text(row.get("MODEL")), text(row.get("PROD")), ver)
    return next((name for word in words if word and (name := model_of(word))), None)


@lru_cache(maxsize=1024)
def model_of(word: str) -> str | None:
    """`1246-83`, `AvalonMiner 1166Pro-S-78`, `Nano3s-25021401`, `7411706-3162860`: the model.

    None for names that several models share, such as `10xx`, `Avalonnano` or `Avalon0o`.
    """
    rest = _PRODUCT.sub("", word[:80], count=1).strip()
    for pattern, name in _HOME:
        if pattern.match(rest):
            return f"Avalon {name}"
    if match := _A15.match(rest):
        # A machine that was sold as A1566 says `15-194`, its rate in TH/s; two peers agree. That
        # every bin up to 200 TH/s is one is unverified; the A15 Pro begins above.
        return "Avalon 1566" if int(match[1]) <= _A15_LIMIT_THS else f"Avalon {match[0]}"
    if match := _OLD.match(rest) or _OLDEST.match(rest):
        return f"Avalon {match[1]}"
    match = _SERIES.match(rest)
    if match is None or "x" in match[2].lower():
        return None
    suffix = f" {match[2].title()}" if len(match[2]) > 1 else match[2].upper()
    return f"Avalon {match[1]}{suffix}"


def build_in(ver: str | None) -> str | None:
    """`21072802_4ec6bb0_211fc46` of `1246-83-21072802_4ec6bb0_211fc46`; old ones are all build."""
    if not ver:
        return None
    last = ver.rpartition("-")[2]
    return common(last if "_" in last else ver)


def _serial(value: Any) -> str | None:
    """The DNA of the controller's chip; all zeros on some Nano 3."""
    found = text(value)
    blank = found is None or number(found) == 0 or not found.isalnum()
    return None if blank else found
