"""Who a miner of the classic dialect is: what `version` and the names of its devices tell."""

from __future__ import annotations

from typing import Any

from drivers.asic import breeds
from drivers.asic.fields import Row, common, first, mac, miner_id
from drivers.errors import BadReply, Refused, WrongProtocol
from drivers.model import Identity, Kind
from drivers.wire.cgminer import CgminerRpc, Report, rows

PROGRAMS = ("CGMiner", "BMMiner", "BFGMiner", "SGMiner", "Miner")
"""Keys of VERSION that name the program and carry its version."""
_NAMED_PROGRAMS = ("bfgminer", "sgminer")
"""Forks that keep the key `CGMiner` and write their own name as `Miner`."""
_ADDRESSES = ("MAC", "macaddress", "Netid")
"""The MAC in `version`; in `summary` of iBeLink and MinerVa (seen in recordings)."""


async def ask_version(rpc: CgminerRpc) -> dict[str, Any]:
    """`version`, or where that is not known (VNish 1.2.7) the head of `stats` in its form.

    A machine that refuses both may still give its readings: its answer has no rows.
    """
    try:
        return await rpc.ask("version")
    except WrongProtocol:
        raise
    except (BadReply, Refused):
        pass
    try:
        return {"VERSION": rows(await rpc.ask("stats"), "STATS")[:1]}
    except Refused:
        return {"VERSION": []}


def parse_identity(
    version: dict[str, Any], provisional_id: str, report: Report | None = None
) -> Identity:
    """Read an answer to `version`, and what other commands tell of the devices."""
    row = (rows(version, "VERSION") or [{}])[0]
    told = report or Report({})
    head = breeds.type_in(told)
    summary = row_of(told, "summary", "SUMMARY")
    model = common(first(row, ("Type", "PROD", "MODEL"))) or common(head.get("Type"))
    names = [*([model] if model else []), *breeds.names_in(told)]
    breed = breeds.of_names(names)
    program, build = _program(row)
    address = next(filter(None, (mac(first(at, _ADDRESSES)) for at in (row, summary))), None)
    return Identity(
        id=miner_id(address, None, provisional_id),
        kind=Kind.ASIC,
        make=breed.make,
        model=model or breeds.model_in(told) or breed.model,
        firmware=program,
        firmware_version=build,
        mac=address,
        algorithm=breed.algorithm,
    )


def _program(row: Row) -> tuple[str | None, str | None]:
    """Name and version of the mining program."""
    named = str(row.get("Miner", "")).lower()
    fork = next((name for name in _NAMED_PROGRAMS if named.startswith(name)), None)
    if fork:
        return fork, common(row.get("CGMiner")) or common(named[len(fork) :])
    program = next((name for name in PROGRAMS if name in row), None)
    if program is None:
        return None, None
    return program.lower() if program != "Miner" else None, common(row[program])


def row_of(report: Report, command: str, section: str) -> dict[str, Any]:
    """The first row of a section in the answer to a command, empty where there is none."""
    return next(iter(rows(report.replies.get(command, {}), section)), {})
