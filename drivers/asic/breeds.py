"""Makers and models by the names that mining programs give their devices.

A driver's name stands in `devs` and `devdetails`, and before a number as ID in `stats`. Sources:
the `name` and `dname` of cgminer's, bfgminer's and sgminer's drivers and cgminer's ASIC-README;
later makes from answers seen in recordings. What one name says of several makes is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from drivers.asic.fields import Row, common
from drivers.wire.cgminer import Report, rows


class Breed(NamedTuple):
    """What a driver's name tells; None where it tells nothing."""

    make: str | None = None
    model: str | None = None
    algorithm: str | None = None


_BITMAIN = Breed("Bitmain")
_GEKKO = "GekkoScience"
_BFL = "Butterfly Labs"

BY_NAME: dict[str, Breed] = {
    "BMM": _BITMAIN,
    "BTM": _BITMAIN,
    "BTM_SOC": _BITMAIN,
    "BC5": _BITMAIN,
    "AU3": Breed("Bitmain", "AntMiner U3"),
    "ANT": _BITMAIN,
    "BMSC": _BITMAIN,
    "KNC": Breed("KnCMiner"),
    "CTA": Breed("CoinTerra"),
    "SPN": Breed("Spondoolies"),
    "S30": Breed("Spondoolies"),
    "BXF": Breed(None, "Bi*Fury"),
    "NF1": Breed(None, "NanoFury"),
    "HXF": Breed(None, "HexFury"),
    "HFA": Breed("HashFast"),
    "HFB": Breed("HashFast", "BabyJet"),
    "HFS": Breed("HashFast", "Sierra"),
    "BA1": Breed("Bitmine"),
    "MBA": Breed("Black Arrow"),
    "DRB": Breed("Drillbit"),
    "AVA": Breed("Canaan"),
    "AV2": Breed("Canaan"),
    "AV4": Breed("Canaan"),
    "AV7": Breed("Canaan"),
    "AV8": Breed("Canaan"),
    "AVA10": Breed("Canaan"),
    "BAJ": Breed(_BFL, "Jalapeno"),
    "BAL": Breed(_BFL, "Little Single SC"),
    "BAS": Breed(_BFL, "Single SC"),
    "BAM": Breed(_BFL, "Mini Rig SC"),
    "BMA": Breed(_BFL, "Monarch"),
    "BFL": Breed(_BFL),
    "MMQ": Breed("BTCFPGA", "ModMiner Quad"),
    # Gridseed's fork of cgminer calls its devices GSD, too: only the driver's long name tells.
    "GSA": Breed(_GEKKO),
    "GSC": Breed(_GEKKO, "Compac"),
    "GSE": Breed(_GEKKO),
    "GSF": Breed(_GEKKO, "Compac F"),
    "GSH": Breed(_GEKKO, "NewPac"),
    "GSI": Breed(_GEKKO, "R606"),
    "GSK": Breed(_GEKKO),
    "BKLU": Breed("Baikal"),
    "DT1": Breed("Halong Mining", "DragonMint T1"),
    "HLT": Breed("Innosilicon"),
    "INCS": Breed("Goldshell"),
    "IT1": Breed("Aixin", "A1"),  # seen in recordings
    "C12": Breed("MinerVa"),  # seen in recordings of an MV8
    "U6": Breed("StrongU", "STU-U6"),  # seen in recordings
    "U2000": Breed("StrongU", "STU-U2"),  # seen in recordings
}

BY_WORD: tuple[tuple[str, Breed], ...] = (
    ("ANTMINER", Breed("Bitmain")),
    ("BITMAIN", Breed("Bitmain")),
    ("WHATSMINER", Breed("MicroBT")),
    ("AVALON", Breed("Canaan")),
    ("NEPTUNE", Breed("KnCMiner", "Neptune")),
    ("JUPITER", Breed("KnCMiner", "Jupiter")),
    ("SATURN", Breed("KnCMiner", "Saturn")),
    ("TITAN", Breed("KnCMiner", "Titan", "scrypt")),
    ("KNCMINER", Breed("KnCMiner")),
    ("COINTERRA", Breed("CoinTerra")),
    ("SP10", Breed("Spondoolies", "SP10")),
    ("SP20", Breed("Spondoolies", "SP20")),
    ("SP30", Breed("Spondoolies", "SP30")),
    ("SPONDOOLIES", Breed("Spondoolies")),
    ("MINERGATE", Breed("Spondoolies")),
    ("HASHFAST", Breed("HashFast")),
    ("BITMINEA1", Breed("Bitmine")),
    ("BLACKARROW", Breed("Black Arrow")),
    ("MINION", Breed("Black Arrow")),
    ("DRILLBIT", Breed("Drillbit")),
    ("GRIDSEED", Breed("Gridseed")),
    ("GEKKO", Breed(_GEKKO)),
    ("BITFORCE", Breed(_BFL)),
    ("MODMINER", Breed("BTCFPGA", "ModMiner Quad")),
    ("MOONLANDER", Breed("FutureBit", "Moonlander 2", "scrypt")),
    ("FUTUREBIT", Breed("FutureBit")),
    ("ZEUS", Breed("ZeusMiner", None, "scrypt")),
    ("BAIKAL", Breed("Baikal")),
    ("STRONGU", Breed("StrongU")),
    ("IBELINK", Breed("iBeLink")),
    ("OBELISK", Breed("Obelisk")),
    ("EBANG", Breed("Ebang")),
    ("EBIT", Breed("Ebang")),
    ("INNOMINER", Breed("Innosilicon")),
    ("INNOSILICON", Breed("Innosilicon")),
    ("DRAGONMINT", Breed("Halong Mining")),
    ("INTCHAINS", Breed("Goldshell")),
    ("GOLDSHELL", Breed("Goldshell")),
    ("KDAMINER", Breed("Goldshell")),
    ("BLACKMINER", Breed("HashAltCoin")),
    ("BM-", Breed("iBeLink")),  # iBeLink names its devices after the model, such as BM-N1Max
)
"""Words in longer names: the driver's `dname`, a model, a type."""


def of_names(names: Iterable[str]) -> Breed:
    """The breed that these names speak for, of all of them together."""
    make = model = algorithm = None
    for name in names:
        word = name.strip().upper()
        found = [BY_NAME.get(word), BY_NAME.get(word.rstrip("0123456789"))]
        found += [breed for part, breed in BY_WORD if part in word]
        for breed in filter(None, found):
            if make in (None, breed.make):
                make, model = make or breed.make, model or breed.model
                algorithm = algorithm or breed.algorithm
    return Breed(make, model, algorithm)


def names_in(report: Report) -> list[str]:
    """What the devices are called, the telling names first: drivers' long names before short."""
    details = rows(report.replies.get("devdetails", {}), "DEVDETAILS")
    devices = rows(report.replies.get("devs", {}), "DEVS")
    stats = rows(report.replies.get("stats", {}), "STATS")
    found: list[Any] = [row.get("Driver") for row in details]
    found += [row.get("Model") for row in details]
    found += [row.get("Name") for row in (*details, *devices)]
    found += [row.get("ID") for row in stats if not str(row.get("ID")).startswith("POOL")]
    return list(dict.fromkeys(name for name in map(common, found) if name))[:64]


def model_in(report: Report) -> str | None:
    """The model that `devdetails` or the device's own name gives; None where neither does."""
    for row in rows(report.replies.get("devdetails", {}), "DEVDETAILS"):
        if model := common(row.get("Model")):
            return model
    for row in rows(report.replies.get("devs", {}), "DEVS"):
        name = common(row.get("Name"))
        if name and name.upper().startswith("BM-"):
            return name
    return None


def type_in(report: Report) -> Row:
    """The head of `stats`, where Bitmain's descendants name their type; empty without one."""
    head = next(iter(rows(report.replies.get("stats", {}), "STATS")), {})
    return head if "Type" in head else {}
