"""Which module answers for which dialect; modules are imported when a machine needs them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from drivers.sim.face import Face

FACES: dict[str, str] = {
    "stock": "drivers.sim.dialects.stock:STOCK",
    "stock_s9": "drivers.sim.dialects.stock:STOCK_S9",
    "cgminer": "drivers.sim.dialects.classic:CGMINER_FACE",
    "bfgminer": "drivers.sim.dialects.classic:BFGMINER_FACE",
    "sgminer": "drivers.sim.dialects.classic:SGMINER_FACE",
    "auradine": "drivers.sim.dialects.auradine:FACE",
    "avalon": "drivers.sim.dialects.avalon:FACE",
    "avalon_home": "drivers.sim.dialects.avalon:HOME",
    "axeos": "drivers.sim.dialects.axeos:FACE",
    "braiins": "drivers.sim.dialects.braiins:FACE",
    "braiins_rest": "drivers.sim.dialects.braiins:REST",
    "elphapex": "drivers.sim.dialects.elphapex:FACE",
    "epic": "drivers.sim.dialects.epic:FACE",
    "goldshell": "drivers.sim.dialects.goldshell:FACE",
    "hammer": "drivers.sim.dialects.hammer:FACE",
    "hiveon": "drivers.sim.dialects.hiveon:FACE",
    "iceriver": "drivers.sim.dialects.iceriver:FACE",
    "innosilicon": "drivers.sim.dialects.innosilicon:FACE",
    "luxos": "drivers.sim.dialects.luxos:FACE",
    "mara": "drivers.sim.dialects.mara:FACE",
    "mskminer": "drivers.sim.dialects.mskminer:FACE",
    "proto": "drivers.sim.dialects.proto:FACE",
    "sealminer": "drivers.sim.dialects.sealminer:FACE",
    "vnish": "drivers.sim.dialects.vnish:FACE",
    "whatsminer": "drivers.sim.dialects.whatsminer:FACE",
    "whatsminer3": "drivers.sim.dialects.whatsminer3:FACE",
}


@cache
def face_of(dialect: str) -> Face:
    """The face of a dialect; KeyError for one that is not in the table."""
    module, _, name = FACES[dialect].partition(":")
    return cast("Face", getattr(import_module(module), name))
