"""Which module answers for which dialect; modules are imported when a machine needs them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from drivers.sim.face import Face

FACES: dict[str, str] = {
    "stock": "drivers.sim.stock:STOCK",
    "stock_s9": "drivers.sim.stock:STOCK_S9",
    "cgminer": "drivers.sim.classic:CGMINER_FACE",
    "bfgminer": "drivers.sim.classic:BFGMINER_FACE",
    "sgminer": "drivers.sim.classic:SGMINER_FACE",
    "auradine": "drivers.sim.auradine:FACE",
    "avalon": "drivers.sim.avalon:FACE",
    "avalon_home": "drivers.sim.avalon:HOME",
    "axeos": "drivers.sim.axeos:FACE",
    "braiins": "drivers.sim.braiins:FACE",
    "braiins_rest": "drivers.sim.braiins:REST",
    "elphapex": "drivers.sim.elphapex:FACE",
    "epic": "drivers.sim.epic:FACE",
    "goldshell": "drivers.sim.goldshell:FACE",
    "hammer": "drivers.sim.hammer:FACE",
    "hiveon": "drivers.sim.hiveon:FACE",
    "iceriver": "drivers.sim.iceriver:FACE",
    "innosilicon": "drivers.sim.innosilicon:FACE",
    "luxos": "drivers.sim.luxos:FACE",
    "mara": "drivers.sim.mara:FACE",
    "mskminer": "drivers.sim.mskminer:FACE",
    "proto": "drivers.sim.proto:FACE",
    "sealminer": "drivers.sim.sealminer:FACE",
    "vnish": "drivers.sim.vnish:FACE",
    "whatsminer": "drivers.sim.whatsminer:FACE",
    "whatsminer3": "drivers.sim.whatsminer3:FACE",
}


@cache
def face_of(dialect: str) -> Face:
    """The face of a dialect; KeyError for one that is not in the table."""
    module, _, name = FACES[dialect].partition(":")
    return cast("Face", getattr(import_module(module), name))
