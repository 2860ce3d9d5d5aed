"""Who a machine with Braiins OS before 25.07 is: of three sources, none tells all. Pure."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from drivers.asic.braiins import graph as braiins_graph
from drivers.asic.braiins import parts as braiins_parts
from drivers.asic.braiins import rpc as braiins_rpc
from drivers.asic.fields import mac, miner_id, text
from drivers.asic.page_parts import listed, section
from drivers.model import Identity, Kind
from drivers.wire.cgminer import Report

_PLATFORMS = {"braiins-am1-s9": "Antminer S9", "braiins-dm1-g29": "DragonMint T1"}
"""What the first Braiins OS called its machines, `Type` in `version`."""


def parse_identity(
    report: Report, graph: Any, lan: Any, old_version: str | None, provisional_id: str
) -> Identity:
    """From `version` and `devdetails`, GraphQL's answer, and LuCI's page of the network."""
    known, better = _of_rpc(report), braiins_graph.parse_identity(graph)
    address = mac_in(lan)
    return replace(
        known,
        id=miner_id(address, None, provisional_id),
        make=better.make or known.make,
        model=better.model or known.model,
        # BOSminer's own build is no version of the firmware, but all that some machines give.
        firmware_version=better.firmware_version or old_version or known.firmware_version,
        mac=address,
        hostname=better.hostname,
    )


def _of_rpc(report: Report) -> Identity:
    name = text(braiins_rpc.row_of(report, "devdetails").get("Model"))
    kind = text(braiins_rpc.row_of(report, "version").get("Type"))
    make, model = braiins_parts.make_and_model(name or _PLATFORMS.get((kind or "").lower(), kind))
    return Identity(
        id="",
        kind=Kind.ASIC,
        make=make,
        model=model,
        firmware=braiins_parts.FIRMWARE,
        firmware_version=braiins_rpc.program_of(report),
        algorithm=braiins_parts.ALGORITHM,
    )


def mac_in(lan: Any) -> str | None:
    """The page is a list of one network."""
    rows = listed(lan, 8) if isinstance(lan, list) else [section(lan)]
    return next((found for row in rows if (found := mac(row.get("macaddr")))), None)
