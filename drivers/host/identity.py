"""Who this host is: machine id, mainboard and operating system, from the files that say so."""

from __future__ import annotations

import hashlib
import hmac
import re
import shlex
import socket
from pathlib import Path

from drivers.model import Identity, Kind

# Any constant of our own: the same host has another id for every other application.
_APPLICATION = bytes.fromhex("6f2ec1f19ee14d0f9d0b1f6c4b7e52a8")
_MACHINE_ID = re.compile(r"[0-9a-f]{32}")
# What makers leave in the fields that they did not fill in.
_PLACEHOLDERS = frozenset(
    {"", "none", "default string", "not specified", "system manufacturer", "system product name"}
)


def read_identity(root: Path = Path("/")) -> Identity:
    """The identity of the host whose files are below `root`."""
    hostname = socket.gethostname()
    os_release = _os_release(root)
    return Identity(
        id=_host_id(root, hostname),
        kind=Kind.HOST,
        make=_dmi(root, "sys_vendor"),
        model=_dmi(root, "product_name") or _device_tree_model(root),
        serial=_dmi(root, "product_serial"),  # readable by root alone on most hosts
        firmware=os_release.get("PRETTY_NAME") or os_release.get("NAME"),
        firmware_version=os_release.get("VERSION_ID") or os_release.get("BUILD_ID"),
        hostname=hostname,
    )


def _host_id(root: Path, hostname: str) -> str:
    for place in ("etc/machine-id", "var/lib/dbus/machine-id"):
        machine_id = _text(root / place) or ""
        if _MACHINE_ID.fullmatch(machine_id):
            return f"host-{application_id(machine_id)}"
    return f"host-at-{hostname}"


def application_id(machine_id: str) -> str:
    """An id that names the machine to us and does not reveal its machine id.

    The same as `systemd-id128 machine-id --app-specific=`: machine-id(5) asks applications
    not to publish the id itself.
    """
    digest = hmac.digest(bytes.fromhex(machine_id), _APPLICATION, hashlib.sha256)
    raw = bytearray(digest[:16])
    raw[6] = raw[6] & 0x0F | 0x40  # marked as a version 4 UUID, as sd_id128 does
    raw[8] = raw[8] & 0x3F | 0x80
    return raw.hex()


def _os_release(root: Path) -> dict[str, str]:
    text = _text(root / "etc/os-release") or _text(root / "usr/lib/os-release") or ""
    found = {}
    for line in text.splitlines():
        key, assigned, value = line.partition("=")
        if assigned and not key.startswith("#"):
            found[key.strip()] = _unquoted(value)
    return found


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:  # a quote that does not end
        return value.strip()


def _dmi(root: Path, name: str) -> str | None:
    value = _text(root / "sys/class/dmi/id" / name) or ""
    lower = value.lower()
    if lower in _PLACEHOLDERS or lower.startswith("to be filled"):
        return None
    return value


def _device_tree_model(root: Path) -> str | None:
    return (_text(root / "proc/device-tree/model") or "").rstrip("\0") or None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return None
