"""The shapes of a Whatsminer's answers in frames (MicroBT's API 3), and who it says it is. Pure.

Sources: MicroBT's API 3 manual (apidoc.whatsminer.com, 2025-11) and recordings of an M60S, an
M30S++ and an M7BS on firmware of 2024 to 2026.
"""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.asic.fields import Row, common, mac, miner_id, positive, text
from drivers.asic.whatsminer.types import FIRMWARE, MAKE, model_name
from drivers.model import Identity, Kind
from drivers.wire.cgminer import Report

INFO, SETTING, SUMMARY, BOARDS, POOLS = (
    "get.device.info",
    "get.miner.setting",
    "get.miner.status|summary",
    "get.miner.status|edevs",
    "get.miner.status|pools",
)
"""The questions by the names that reports give them."""
_SHA256 = ("BTC", "BCH", "BSV", "SHA256")


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """`get.device.info`, some of it read a while ago."""

    sections: dict[str, Any] = {}
    setting: dict[str, Any] = {}
    """`get.miner.setting`, since API 3.0.3."""
    fresh: bool = False
    """Whether it was asked in this poll."""
    metered: bool = False
    """Whether the summary's power was the supply's own measurement when both were read."""

    def section(self, name: str) -> dict[str, Any]:
        """One of its objects, such as `miner` or `power`."""
        return as_dict(self.sections.get(name))


NOTHING = Info()


def content(report: Report, question: str, section: str | None = None) -> Any:
    """What an answer holds: its `msg`, or a part of it; None where there is only a sentence."""
    found = as_dict(report.replies.get(question)).get("msg")
    return found if section is None else as_dict(found).get(section)


def summary_of(report: Report) -> dict[str, Any]:
    """The summary's object, empty where there is none."""
    return as_dict(content(report, SUMMARY, "summary"))


def supply_power_w(sections: Row) -> float | None:
    """What the power supply measures at its input.

    The manual calls `pin` the output's power, but in its own example it is the product of the
    input's voltage and current (220.5 V * 14.8 A = 3263 W against 3264).
    """
    return positive(as_dict(sections.get("power")).get("pin"))


def words_of(info: Info) -> tuple[str, ...]:
    """What the machine calls itself: MAC, serial, type, build and its boards' serials."""
    miner = info.section("miner")
    words = (
        info.section("network").get("mac"),
        miner.get("miner-sn"),
        miner.get("type"),
        info.section("system").get("fwversion"),
        *(miner.get(f"pcbsn{at}") for at in range(8)),
    )
    return tuple(word for each in words if isinstance(each, str) and (word := text(each)))


def parse_identity(sections: Row, provisional_id: str) -> Identity:
    """Read `get.device.info`."""
    info = Info(sections=dict(sections))
    network, miner, system = map(info.section, ("network", "miner", "system"))
    address, serial = mac(network.get("mac")), text(miner.get("miner-sn"))
    build = text(system.get("fwversion"))
    coin = str(miner.get("cointype", "")).upper()
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=Kind.ASIC,
        make=MAKE,
        model=common(model_name(text(miner.get("type")))),
        firmware=FIRMWARE,
        firmware_version=common(build.strip("' ")) if build else None,
        serial=serial,
        mac=address,
        hostname=text(network.get("hostname")),
        algorithm="sha256" if any(word in coin for word in _SHA256) else None,
    )


def as_dict(value: Any) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
