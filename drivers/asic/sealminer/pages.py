"""Who a SealMiner is, and the PHP pages of its web side. Pure.

The pages' keys are from a recording and from public clients that read them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drivers.asic import parts
from drivers.asic.cgminer import missing
from drivers.asic.fields import Row, common, first, mac, miner_id, number, text
from drivers.asic.page_parts import rate, section, watts
from drivers.asic.sealminer.answers import full_name, stats_of
from drivers.model import Fingerprint, Identity, Kind, MinerReading, PowerSource, Sample, State
from drivers.wire.cgminer import Report, rows

WEB_PAGES = ("get_system_info", "miner-status", "miner-psu-status")
_MHS = 1e-6


def parse_identity(stats: Row, version: Row, info: Row, provisional_id: str) -> Identity:
    """Put together `stats`, `version` and `get_system_info.php`; any may be empty."""
    row, program = stats_of(stats), next(iter(rows(dict(version), "VERSION")), {})
    address = mac(row.get("MAC")) or mac(info.get("macaddr"))
    serial = text(row.get("Ctrl Board SN")) or text(info.get("crtl_sn"))  # so it is spelt
    build = first(row, ("Firmware",)) or info.get("firmware_version") or program.get("BDMiner")
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=Kind.ASIC,
        make="Bitdeer",
        model=full_name(common(row.get("Model")) or common(info.get("miner_type"))),
        firmware="stock",
        firmware_version=common(build),
        serial=serial,
        mac=address,
    )


def locates(info: Any) -> bool | None:
    """The light that `get_system_info.php` tells of: it is only switched on to find a machine."""
    return {"on": True, "off": False}.get(str(section(info).get("led")).strip().lower())


def parse_pages(pages: Report, device_id: str, taken_at: float, problem: str) -> Sample:
    """Read `miner-status` and `miner-psu-status`, where port 4028 gives nothing.

    Their keys are from public descriptions; `mhsav` is taken as what its name says. Unverified.
    """
    info, status, psu = (section(pages.replies.get(name)) for name in WEB_PAGES)
    summary = section(status, "summary")
    found = status.get("pools")
    listed = [_as_rpc(row) for row in found if isinstance(row, dict)] if type(found) is list else []
    pools = parts.pools(listed)
    average_ths, input_w = rate(summary.get("mhsav"), _MHS), watts(psu.get("Power"))
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=State.UNKNOWN,
        hashrate_avg_ths=average_ths,
        power_w=input_w,
        power_source=None if input_w is None else PowerSource.METERED,
        uptime_s=number(summary.get("elapsed")),
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        shares_stale=parts.total(pools, "stale"),
        locating=locates(info),
        pools=pools,
        missing=(problem, *missing(pages)),
    )
    words = (text(info.get("macaddr")), text(info.get("crtl_sn")))
    return Sample(reading, Fingerprint(traits=tuple(filter(None, words))))


def _as_rpc(row: Row) -> dict[str, Any]:
    """A pool of `miner-status` under the names of port 4028."""
    names = {
        "URL": "url",
        "User": "user",
        "Status": "status",
        "Stratum Active": "isActive",
        "Accepted": "accept",
        "Rejected": "rejected",
        "Stale": "stale",
    }
    return {name: row[key] for name, key in names.items() if key in row}
