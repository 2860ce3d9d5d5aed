"""The shapes of a Whatsminer's answers on port 4028, and who it says it is. Pure.

Sources: MicroBT's API manuals 1.3.8, 2.0.3 and 2.0.5, and recordings of machines from 2018 (M3,
cgminer 4.9.2 without the API daemon) to 2026 (firmware that speaks API 3 and keeps this one).
"""

from __future__ import annotations

import re
from typing import Any

from drivers.asic.fields import Row, common, first, mac, miner_id, positive, text
from drivers.asic.whatsminer.types import FIRMWARE, MAKE, flag, model_name
from drivers.model import Identity, Kind
from drivers.wire.cgminer import Report, rows

BOARDS = ("devs", "edevs")
"""One after the other until one is known. The first is as old as cgminer, and its original leaves
no board out; MicroBT documents the second, and its daemon gives the same for both."""
BOARDS_LIMIT = 16
_OFF = ("mineroff", "btmineroff")
_API = re.compile(r"(?<![\d.])(\d)\.\d")


def content(reply: Any) -> dict[str, Any]:
    """The object in `Msg`, empty where there is only a sentence.

    It is there in `get_*` and `status`, since late 2024 in `summary`, too; some firmwares put it
    into the object of STATUS.
    """
    if not isinstance(reply, dict):
        return {}
    found = reply.get("Msg")
    if not isinstance(found, dict):
        found = next((row.get("Msg") for row in rows(reply, "STATUS")), None)
    return found if isinstance(found, dict) else {}


def summary_of(report: Report) -> dict[str, Any]:
    """The summary's object: a row of SUMMARY, or `Msg` since late 2024."""
    reply = report.replies.get("summary", {})
    found = rows(reply, "SUMMARY")
    return found[0] if found else content(reply)


def board_rows(report: Report) -> list[dict[str, Any]]:
    """The rows of boards of whichever command brought some."""
    for command in BOARDS:
        found = rows(report.replies.get(command, {}), "DEVS")
        if found:
            return found[:BOARDS_LIMIT]
    return []


def words_of(summary: Row, boards: list[dict[str, Any]]) -> tuple[str, ...]:
    """What the machine calls itself in a poll: its MAC and build where it says them, its boards."""
    serials = (row.get("PCB SN") for row in boards)
    words = (summary.get("MAC"), summary.get("Firmware Version"), *serials)
    return tuple(word for each in words if isinstance(each, str) and (word := text(each)))


def supply_power_w(supply: Row) -> float | None:
    """What the power supply measures at its input; its other figures are in cV and mA."""
    return positive(supply.get("pin"))


def is_off(status: Row) -> bool | None:
    """Whether the machine was told to stop. The words are strings, and "true" is off."""
    return flag(first(status, _OFF))


# --- identity ---------------------------------------------------------------------------------


def parse_identity(answers: dict[str, Any], provisional_id: str) -> Identity:
    """Put together what the commands say that answered, each of which may be missing."""
    report = Report(answers)
    summary = summary_of(report)
    version, info = content(answers.get("get_version")), content(answers.get("get_miner_info"))
    status = content(answers.get("status"))
    details = rows(answers.get("devdetails", {}), "DEVDETAILS")
    classic = (rows(answers.get("version", {}), "VERSION") or [{}])[0]
    types = [version.get("miner_type"), *(row.get("Model") for row in details)]
    types += [first(row, ("Miner Type", "Type", "MODEL")) for row in (summary, classic)]
    build = (
        version.get("fw_ver")
        or first(status, ("FirmwareVersion", "Firmware Version"))
        or summary.get("Firmware Version")
    )
    address = mac(info.get("mac")) or mac(summary.get("MAC"))
    serial = text(info.get("minersn"))
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=Kind.ASIC,
        make=MAKE,
        model=common(next((name for word in types if (name := model_name(text(word)))), None)),
        firmware=FIRMWARE,
        firmware_version=common(str(build).strip("' ")) if build else None,
        serial=serial,
        mac=address,
        hostname=text(info.get("hostname")),
    )


def speaks_api_2(answers: dict[str, Any]) -> bool:
    """Whether `get_version` names an API of version 2 or later: `2.0.5`, not `whatsminer v1.4.0`.

    API 1 has orders in another form, which no machine of today shows: none are given there.
    """
    word = text(content(answers.get("get_version")).get("api_ver"))
    match = _API.search(word) if word else None
    return match is not None and int(match.group(1)) >= 2
