"""Which driver fits what answers at an address: by evidence that is kept, firmware first.

Aftermarket firmwares keep the vendor's strings, so they are looked for before the vendor.
"""

from __future__ import annotations

import sys

import msgspec

from drivers.api import Context, Driver, Endpoint
from drivers.errors import (
    BadReply,
    DeviceTimeout,
    DriverError,
    NoResources,
    Refused,
    Unreachable,
    WrongProtocol,
)
from drivers.model import Identity
from drivers.registry import create
from drivers.wire.cgminer import CgminerRpc


class Sign(msgspec.Struct, frozen=True):
    """A word in a firmware's answer and what it means."""

    word: str
    firmware: str
    driver: str


SIGNS: tuple[Sign, ...] = (
    Sign("ANTMINER", "stock", "antminer"),
    Sign("BFGMINER", "bfgminer", "cgminer"),
    Sign("SGMINER", "sgminer", "cgminer"),
    Sign("CGMINER", "cgminer", "cgminer"),
)
"""The order is the decision. Firmwares whose own driver is still to come stand in
`AFTERMARKET`, so that none of them is taken for the vendor's."""

AFTERMARKET: tuple[Sign, ...] = tuple(
    Sign(word, firmware, "cgminer")
    for word, firmware in (
        ("BOSMINER", "braiins"),
        ("BOSER", "braiins"),
        ("LUXMINER", "luxos"),
        ("MARAFW", "mara"),
        ("KAONSU", "mara"),
        ("VNISH", "vnish"),
        ("HIVEON", "hiveon"),
        ("RWGLR", "mskminer"),
        ("BTMINER", "whatsminer"),
        ("BITMICRO", "whatsminer"),
        ("BDMINER", "sealminer"),
        ("GCMINER", "auradine"),
        ("FLUXOS", "auradine"),
        ("AVALON", "avalon"),
        ("KDAMINER", "goldshell"),
        ("INNOMINER", "innosilicon"),
    )
)
GENERIC_DRIVER = "cgminer"


class Finding(msgspec.Struct, frozen=True):
    """What stands at an address: the driver that fits, the identity, and why we think so."""

    endpoint: Endpoint
    driver_name: str
    driver: Driver
    identity: Identity
    evidence: tuple[str, ...]


async def probe(endpoint: Endpoint, context: Context) -> Finding:
    """Find the driver for what answers at an address, and ask it who it is.

    Raises the `DriverError` that says why nothing usable answers there.
    """
    text, evidence = await _ask_who(endpoint, context)
    sign = next((sign for sign in (*AFTERMARKET, *SIGNS) if sign.word in text), None)
    if sign:
        evidence += (f"says {sign.word}: {sign.firmware}",)
    else:
        evidence += ("no known word: generic dialect",)
    name = sign.driver if sign else GENERIC_DRIVER
    return await identify(name, endpoint, context, evidence, sign)


async def identify(
    name: str,
    endpoint: Endpoint,
    context: Context,
    evidence: tuple[str, ...] = (),
    sign: Sign | None = None,
) -> Finding:
    """Ask the device through a driver chosen by name."""
    driver = create(name, endpoint, context)
    identity = await driver.identify()
    if sign and sign in AFTERMARKET:
        identity = msgspec.structs.replace(identity, firmware=sign.firmware)
    return Finding(endpoint, name, driver, identity, tuple(map(sys.intern, evidence)))


async def _ask_who(endpoint: Endpoint, context: Context) -> tuple[str, tuple[str, ...]]:
    """Everything `version`, or `stats` in its place, says, in capitals."""
    rpc = CgminerRpc(endpoint, context.wire, context.clock, context.deadline_s)
    evidence: list[str] = []
    problem: DriverError | None = None
    for command in ("version", "stats"):
        try:
            reply = await rpc.ask(command)
        except (DeviceTimeout, Unreachable, WrongProtocol, NoResources):
            raise
        except (BadReply, Refused) as error:
            # VNish 1.2.7 does not know `version`; its name stands in `stats`.
            problem = error
            evidence.append(f"{command}: {type(error).__name__} {error}"[:160])
        else:
            evidence.append(f"{command}: answered")
            return msgspec.json.encode(reply).decode().upper(), tuple(evidence)
    raise problem or Unreachable(f"{endpoint.address}: nothing answered")
