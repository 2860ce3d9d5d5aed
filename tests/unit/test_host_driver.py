"""The host as a device: who it is, and readings that never invent a value."""

import asyncio
import threading
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from agent.clock import SystemClock
from drivers.api import Driver
from drivers.errors import DeviceTimeout
from drivers.host.clocksync import ClockState
from drivers.host.host import Host
from drivers.host.identity import read_identity
from drivers.model import HostReading, Kind, State

MACHINE_ID = "0123456789abcdef0123456789abcdef"


class Stopped:
    """A clock source that answers as told."""

    def __init__(self, state: ClockState) -> None:
        self._state = state

    def state(self) -> ClockState:
        return self._state


UNKNOWN = ClockState(None)


def host(state: ClockState = UNKNOWN) -> Host:
    return Host(SystemClock(), Stopped(state))


async def reading_of(driver: Host) -> HostReading:
    reading = (await driver.read()).reading
    assert isinstance(reading, HostReading)
    return reading


def place(root: Path, **files: str) -> Path:
    """Files below a root of their own: `etc__machine_id` is etc/machine-id."""
    for name, text in files.items():
        file = root / name.replace("__", "/").replace("machine_id", "machine-id").replace(
            "os_release", "os-release"
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


# --- identity ----------------------------------------------------------------------------


def test_the_machine_id_stays_private(tmp_path: Path) -> None:
    identity = read_identity(place(tmp_path, etc__machine_id=MACHINE_ID + "\n"))
    assert identity.kind is Kind.HOST
    # what `systemd-id128 machine-id --app-specific=` of systemd 252 says of this machine id
    assert identity.id == "host-61ffbd314f11464abc369e55a0e8fa02"
    assert not identity.provisional


@pytest.mark.parametrize("content", ["", "uninitialized\n", "0123"])
def test_a_host_without_machine_id_is_provisional(tmp_path: Path, content: str) -> None:
    identity = read_identity(place(tmp_path, etc__machine_id=content))
    assert identity.id == f"host-at-{identity.hostname}"
    assert identity.provisional


def test_mainboard_and_system(tmp_path: Path) -> None:
    root = place(
        tmp_path,
        etc__machine_id=MACHINE_ID,
        sys__class__dmi__id__sys_vendor="Supermicro\n",
        sys__class__dmi__id__product_name="SYS-510T-ML\n",
        etc__os_release='NAME="Debian GNU/Linux"\nVERSION_ID="12"\n# x=y\n'
        'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    )
    identity = read_identity(root)
    assert (identity.make, identity.model) == ("Supermicro", "SYS-510T-ML")
    assert identity.serial is None
    assert identity.firmware == "Debian GNU/Linux 12 (bookworm)"
    assert identity.firmware_version == "12"


@pytest.mark.parametrize("words", ["To Be Filled By O.E.M.", "Default string", " ", "None"])
def test_placeholders_are_no_names(tmp_path: Path, words: str) -> None:
    assert read_identity(place(tmp_path, sys__class__dmi__id__sys_vendor=words)).make is None


def test_a_board_without_dmi(tmp_path: Path) -> None:
    root = place(tmp_path)
    (root / "proc" / "device-tree").mkdir(parents=True)
    (root / "proc" / "device-tree" / "model").write_bytes(b"Raspberry Pi 5\0")
    assert read_identity(root).model == "Raspberry Pi 5"


def test_an_empty_root_has_no_words(tmp_path: Path) -> None:
    identity = read_identity(tmp_path)
    assert (identity.make, identity.model, identity.firmware) == (None, None, None)


# --- readings ----------------------------------------------------------------------------


async def test_this_host_is_read() -> None:
    driver = host(state=ClockState(True, 0.002, "kernel"))
    assert isinstance(driver, Driver)
    identity = await driver.identify()
    reading = await reading_of(driver)
    assert reading.device_id == identity.id
    assert reading.state is State.OK
    assert reading.uptime_s
    assert reading.memory_total_bytes
    assert reading.memory_available_bytes
    assert reading.memory_available_bytes < reading.memory_total_bytes
    assert (reading.clock_synchronised, reading.clock_offset_s) == (True, 0.002)
    assert reading.clock_source == "kernel"
    assert "lo" not in {port.name for port in reading.ports}
    await driver.close()


async def test_a_clock_that_nobody_knows_is_none() -> None:
    reading = await reading_of(host())
    assert (reading.clock_synchronised, reading.clock_source) == (None, None)


Times = namedtuple("Times", "user system idle iowait guest")


async def test_the_processor_s_share_is_since_the_last_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([Times(10, 0, 90, 0, 5), Times(20, 10, 150, 10, 9), Times(20, 10, 150, 10, 9)])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(times))
    driver = host()
    # of 90 s passed, 60 idle and 10 waiting for a disk
    assert (await reading_of(driver)).cpu_percent == pytest.approx(100 * 20 / 90)
    assert (await reading_of(driver)).cpu_percent is None


def mount(device: str, mountpoint: str, fstype: str = "ext4") -> SimpleNamespace:
    return SimpleNamespace(device=device, mountpoint=mountpoint, fstype=fstype)


async def test_volumes_are_local_disks_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [
        mount("/dev/sda1", "/var/lib/stoker"),
        mount("/dev/sda1", "/"),
        mount("/dev/sdb1", "/data", "xfs"),
        mount("nas:/export", "/mnt/nas", "nfs4"),
        mount("/dev/loop0", "/snap/core", "squashfs"),
        mount("/dev/sdc1", "/broken"),
    ]
    asked = []

    def usage(path: str) -> SimpleNamespace:
        asked.append(path)
        if path == "/broken":
            raise OSError(5, "Input/output error")
        return SimpleNamespace(total=100, free=40)

    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    monkeypatch.setattr(psutil, "disk_usage", usage)
    reading = await reading_of(host())
    assert [volume.mount for volume in reading.volumes] == ["/", "/data"]
    assert (reading.volumes[0].total_bytes, reading.volumes[0].free_bytes) == (100, 40)
    assert sorted(asked) == ["/", "/broken", "/data"]
    assert reading.missing == ("volumes",)


async def test_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = SimpleNamespace(bytes_recv=1, bytes_sent=2, errin=3, errout=4, dropin=5, dropout=6)
    stats = {
        "lo": SimpleNamespace(isup=True, speed=0),
        "eth0": SimpleNamespace(isup=True, speed=1000),
        "eth1": SimpleNamespace(isup=False, speed=65_535),
    }
    monkeypatch.setattr(psutil, "net_if_stats", lambda: stats)
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic: {"eth0": counters})
    first, second = (await reading_of(host())).ports
    assert (first.name, first.up, first.speed_mbps) == ("eth0", True, 1000)
    assert (first.received_bytes, first.sent_bytes, first.errors, first.drops) == (1, 2, 7, 11)
    assert (second.name, second.up, second.speed_mbps) == ("eth1", False, None)
    assert second.received_bytes is None


async def test_thermometers(monkeypatch: pytest.MonkeyPatch) -> None:
    sensors = {
        "coretemp": [
            SimpleNamespace(label="Core 0", current=61.0),
            SimpleNamespace(label="", current=float("nan")),
        ],
        "acpitz": [SimpleNamespace(label="", current=27.8)],
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors, raising=False)
    found = [(each.name, each.temp_c) for each in (await reading_of(host())).thermometers]
    assert found == [("acpitz 0", 27.8), ("coretemp Core 0", 61.0)]


async def test_what_is_not_to_be_had_is_named_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise PermissionError

    for name in ("virtual_memory", "disk_partitions", "net_if_stats"):
        monkeypatch.setattr(psutil, name, fails)
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    monkeypatch.setattr("os.getloadavg", fails)
    reading = await reading_of(host())
    assert reading.missing == ("volumes", "memory", "ports")
    assert reading.memory_total_bytes is None
    assert reading.load_1m is None
    assert (reading.volumes, reading.ports, reading.thermometers) == ((), (), ())


async def test_a_disk_that_hangs_costs_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, reached = threading.Event(), threading.Event()

    def usage(_: str) -> SimpleNamespace:
        reached.set()
        stuck.wait(30)
        return SimpleNamespace(total=1, free=1)

    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [mount("/dev/sda1", "/")])
    monkeypatch.setattr(psutil, "disk_usage", usage)
    driver = host()
    first = asyncio.create_task(driver.read())
    await asyncio.to_thread(reached.wait, 30)
    for _ in range(100):
        with pytest.raises(DeviceTimeout):
            await driver.read()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    with pytest.raises(DeviceTimeout):
        await driver.read()
    stuck.set()
