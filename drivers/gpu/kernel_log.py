"""XIDs in the kernel's log. Pure: lines in, what they say out.

The driver writes them as `NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, name=python3, GPU has ...`.
A GPU that falls off the bus may show by plain words alone, over several lines (gpud#1209,
NVSentinel#155); that counts as the code 79.
"""

from __future__ import annotations

import re

import msgspec

from drivers.gpu.pci import pci_address

FELL_OFF_XID = 79
LINE_LIMIT = 4096
"""Of a longer line the rest is not looked at; the kernel's own lines end at 1 KiB."""
_SOON_LINES = 5
"""Within how many lines the words follow the address, where they stand apart."""

_XID = re.compile(
    r"NVRM: (?:\w+: )?Xid \((?:PCI:)?(?P<place>[0-9a-fA-F]{1,8}(?::[0-9a-fA-F]{1,2}){2}(?:\.\d)?)"
    r"(?: GPU-I:(?P<instance>\d+))?[^)]*\): (?P<code>\d{1,6})\b(?:, )?(?P<rest>.*)"
)
_PID = re.compile(r"\bpid='?(\d{1,10})\b")
_NAME = re.compile(r"\bname=([^,]{1,64})")
_WHO = re.compile(r"^(?:pid=[^,]*|name=[^,]*)(?:, |$)")
_PLACE = re.compile(
    r"NVRM: .*?GPU (?:at )?(?:PCI:)?([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}(?:\.\d)?)"
)
_FALLEN = re.compile(r"NVRM: .*fallen off the bus")
_ACTION = re.compile(r"\bto 0x([0-9a-fA-F]{1,4})\b")
_RECOVERY_XID = 154


class KernelXid(msgspec.Struct, frozen=True, kw_only=True):
    """What one line says."""

    pci_address: str
    xid: int
    message: str
    pid: int | None = None
    process: str | None = None
    gpu_instance: int | None = None
    recovery_action: int | None = None
    """The driver's number of what has to be done from now on, in a line of code 154."""
    plain: bool = False
    """No code was written: the words alone say so."""


def parse_line(line: str) -> KernelXid | None:
    """The XID in a line of the kernel's log; None where there is none."""
    found = _XID.search(line[:LINE_LIMIT])
    if found is None:
        return None
    rest = found["rest"].strip()
    xid = int(found["code"])
    pid, name = _PID.search(rest), _NAME.search(rest)
    action = _ACTION.search(rest) if xid == _RECOVERY_XID else None
    process = name[1].strip("'\" ") if name else ""
    return KernelXid(
        pci_address=pci_address(found["place"]),
        xid=xid,
        message=_without_who(rest),
        pid=int(pid[1]) if pid else None,
        process=process if process not in ("", "<unknown>") else None,
        gpu_instance=int(found["instance"]) if found["instance"] else None,
        recovery_action=int(action[1], 16) if action else None,
    )


class KernelLog:
    """Reads lines one after the other, since what one says may be spread over several."""

    def __init__(self) -> None:
        self._place: str | None = None
        self._lines_since = 0

    def read(self, line: str) -> KernelXid | None:
        """What this line says, together with those before it."""
        line = line[:LINE_LIMIT]
        self._lines_since += 1
        if found := parse_line(line):
            return found
        if place := _PLACE.search(line):
            self._place, self._lines_since = pci_address(place[1]), 0
        if not _FALLEN.search(line) or self._place is None or self._lines_since > _SOON_LINES:
            return None
        place_then, self._place = self._place, None
        return KernelXid(
            pci_address=place_then,
            xid=FELL_OFF_XID,
            message="fallen off the bus, says the kernel's log without a code",
            plain=True,
        )


def _without_who(rest: str) -> str:
    while found := _WHO.match(rest):
        rest = rest[found.end() :]
    return rest
