"""The values of this host through psutil. All of it may block."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from typing import Any

import psutil

from drivers.model import NetworkPort, Thermometer, Volume

# Asking these for their size waits for another machine, without end if it is gone.
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "afs", "9p"}
    | {"gfs2", "ocfs2", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone"}
)
_IMAGE_FILE_SYSTEMS = frozenset({"squashfs", "iso9660", "udf", "erofs"})
_SPEED_UNKNOWN = 65_535  # what some virtual ports report


class CpuMeter:
    """The share of processor time in use since it was last asked."""

    def __init__(self) -> None:
        self._before = _cpu_seconds()

    def percent(self) -> float | None:
        """The share in percent; None where no time has passed."""
        busy_before, total_before = self._before
        self._before = busy, total = _cpu_seconds()
        passed = total - total_before
        if passed <= 0:
            return None
        # iowait may run backwards, proc_stat(5)
        return min(100.0, max(0.0, 100 * (busy - busy_before) / passed))


def volumes() -> tuple[tuple[Volume, ...], bool]:
    """The local file systems, each device once, and whether all of them answered."""
    found: list[Volume] = []
    complete = True
    for mount in _local_mounts(psutil.disk_partitions(all=False)):
        try:
            usage = psutil.disk_usage(mount)
        except OSError:
            complete = False
            continue
        found.append(Volume(mount=mount, total_bytes=usage.total, free_bytes=usage.free))
    return tuple(found), complete


def ports() -> tuple[NetworkPort, ...]:
    """The network interfaces but the loopback."""
    stats, counters = psutil.net_if_stats(), psutil.net_io_counters(pernic=True)
    return tuple(
        _port(name, stats.get(name), counters.get(name))
        for name in sorted(stats.keys() | counters.keys())
        if name != "lo"
    )


def thermometers() -> tuple[Thermometer, ...]:
    """Every sensor that shows a temperature, by chip and label."""
    by_chip: dict[str, list[Any]] = getattr(psutil, "sensors_temperatures", dict)()
    return tuple(
        Thermometer(name=f"{chip} {sensor.label or at}", temp_c=float(sensor.current))
        for chip, sensors in sorted(by_chip.items())
        for at, sensor in enumerate(sensors)
        if sensor.current is not None and math.isfinite(sensor.current)
    )


def load_1m() -> float | None:
    """The mean number of runnable processes over a minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _cpu_seconds() -> tuple[float, float]:
    # psutil.cpu_percent keeps its last value per thread and starts each with a false 0
    times = psutil.cpu_times()._asdict()
    # the kernel counts guests within user time as well, proc_stat(5)
    total = sum(value for name, value in times.items() if not name.startswith("guest"))
    return total - times["idle"] - times.get("iowait", 0.0), total


def _local_mounts(partitions: Iterable[Any]) -> Iterator[str]:
    """One mount point for each device: a sandbox mounts the same one in many places."""
    shortest: dict[str, str] = {}
    for each in partitions:
        if each.fstype in _NETWORK_FILE_SYSTEMS or each.fstype in _IMAGE_FILE_SYSTEMS:
            continue
        known = shortest.get(each.device)
        if known is None or len(each.mountpoint) < len(known):
            shortest[each.device] = each.mountpoint
    yield from sorted(shortest.values())


def _port(name: str, stats: Any, counters: Any) -> NetworkPort:
    speed_mbps = stats.speed if stats else 0
    return NetworkPort(
        name=name,
        up=stats.isup if stats else None,
        speed_mbps=speed_mbps if 0 < speed_mbps < _SPEED_UNKNOWN else None,
        received_bytes=counters.bytes_recv if counters else None,
        sent_bytes=counters.bytes_sent if counters else None,
        errors=counters.errin + counters.errout if counters else None,
        drops=counters.dropin + counters.dropout if counters else None,
    )
