"""The table of drivers. Modules are imported when first needed: no GPU, no NVML."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import cast

import msgspec

from drivers.api import Clock, Context, Driver, Endpoint
from drivers.api_gpu import GpuSettings, Happening, HostGpus, Mark
from drivers.model import Kind
from drivers.signs import Sign, dialogue, frames, page, realm, says, sends_to
from drivers.wire.exchange import SocketWire
from drivers.wire.http import HttpPool


class Control(StrEnum):
    """What the orders that a driver gives rest on."""

    NONE = "none"
    """It gives none."""
    SIMULATED = "simulated"
    """Scarce or single descriptions, and our own simulator: off unless it is named."""
    DOCUMENTED = "documented"
    """The maker's document, or what several published programs send to such devices."""


class Spec(msgspec.Struct, frozen=True):
    """Where a driver's class is, what it drives, and by what it is known."""

    path: str
    kind: Kind
    title: str
    signs: tuple[Sign, ...] = ()
    """Any one of them is enough."""
    borrowed: bool = False
    """Its signs are kept by firmwares that were built on it: others are looked for first."""
    control: Control = Control.NONE
    disguised: bool = False
    """It may show nothing but the signs of what it was built on, save on a page of its own."""


DRIVERS: dict[str, Spec] = {
    "braiins": Spec(
        "drivers.asic.braiins.driver:Braiins",
        Kind.ASIC,
        "Braiins OS",
        (
            says("BOSMINER"),
            says("BOSER"),
            says("BRAIINS-AM"),
            says("BOS_AM"),
            page("Braiins OS"),
            page('"major"', "/api/v1/version"),
            page('"bos_version"', "/api/v1/miner/details"),
        ),
        control=Control.DOCUMENTED,
    ),
    "luxos": Spec(
        "drivers.asic.luxos.driver:Luxos",
        Kind.ASIC,
        "LuxOS",
        (says("LUXMINER"), page("Luxor Firmware")),
        control=Control.DOCUMENTED,
    ),
    "mara": Spec(
        "drivers.asic.mara.driver:Mara",
        Kind.ASIC,
        "MARA firmware",
        (
            says("MARAFW"),
            says("KAONSU"),
            realm("MaraFW"),
            page('"hashrate_', "/kaonsu/v1/brief"),
            page('"power_consumption', "/kaonsu/v1/brief"),
        ),
        control=Control.DOCUMENTED,
        disguised=True,
    ),
    "vnish": Spec(
        "drivers.asic.vnish.driver:Vnish",
        Kind.ASIC,
        "VNish (AnthillOS)",
        (says("VNISH"), page("AnthillOS"), page('"fw_name"', "/api/v1/info")),
        control=Control.DOCUMENTED,
    ),
    "hiveon": Spec(
        "drivers.asic.rwglr.hiveon:Hiveon",
        Kind.ASIC,
        "Hiveon ASIC firmware",
        (says("HIVEON"),),
        control=Control.SIMULATED,
    ),
    "mskminer": Spec(
        "drivers.asic.rwglr.mskminer:Mskminer",
        Kind.ASIC,
        "MSKMiner",
        (says("RWGLR"), says("MSKMINER")),
        control=Control.SIMULATED,
    ),
    "whatsminer3": Spec(
        "drivers.asic.whatsminer.v3:Whatsminer3",
        Kind.ASIC,
        "MicroBT Whatsminer, API 3",
        (frames("get.device.info"),),
        control=Control.DOCUMENTED,
    ),
    "whatsminer": Spec(
        "drivers.asic.whatsminer.driver:Whatsminer",
        Kind.ASIC,
        "MicroBT Whatsminer, API 1 and 2",
        (
            says("BTMINER"),
            says("BITMICRO"),
            says("WHATSMINER"),
            says("FACTORY GHS"),
            sends_to("/cgi-bin/luci"),
        ),
        borrowed=True,
        control=Control.DOCUMENTED,
    ),
    "sealminer": Spec(
        "drivers.asic.sealminer.driver:Sealminer",
        Kind.ASIC,
        "Bitdeer SealMiner",
        (
            says("BDMINER"),
            page("amazeui"),
            page("Sealminer", "/cgi-bin/get_system_info.php"),
        ),
        control=Control.SIMULATED,
    ),
    "auradine": Spec(
        "drivers.asic.auradine.driver:Auradine",
        Kind.ASIC,
        "Auradine Teraflux",
        (says("GCMINER"), says("FLUXOS"), page("Miner UI")),
        control=Control.DOCUMENTED,
    ),
    "avalon": Spec(
        "drivers.asic.avalon.driver:Avalon",
        Kind.ASIC,
        "Canaan Avalon",
        (says("AVALON"),),
        control=Control.DOCUMENTED,
    ),
    "goldshell": Spec(
        "drivers.asic.goldshell.driver:Goldshell",
        Kind.ASIC,
        "Goldshell",
        (
            says("INTCHAINS_QOMO"),
            says("KDAMINER"),
            says("INTMINER"),
            page("cloud-box"),
            page('"firmware"', "/mcb/status"),
        ),
        control=Control.DOCUMENTED,
    ),
    "innosilicon": Spec(
        "drivers.asic.innosilicon.driver:Innosilicon",
        Kind.ASIC,
        "Innosilicon",
        (says("INNOMINER"), page("DragonMint"), page('"type"', "/api/type")),
        control=Control.DOCUMENTED,
    ),
    "epic": Spec(
        "drivers.asic.epic.driver:Epic",
        Kind.ASIC,
        "ePIC UMC",
        (
            page("Miner Web Dashboard"),
            dialogue("Fans Rpm", "/summary"),
            dialogue("WorkReceived", "/summary"),
        ),
        control=Control.DOCUMENTED,
    ),
    "axeos": Spec(
        "drivers.asic.axeos.driver:Axeos",
        Kind.ASIC,
        "Bitaxe AxeOS and NerdAxe",
        (page("AxeOS"), page("ASICModel", "/api/system/info")),
        control=Control.DOCUMENTED,
    ),
    "elphapex": Spec(
        "drivers.asic.elphapex.driver:Elphapex",
        Kind.ASIC,
        "Elphapex",
        (
            realm("Daoge"),
            page("DG-Home", "/cgi-bin/get_system_info.cgi"),
            page("_SW_V", "/cgi-bin/get_system_info.cgi"),
            page("DG-Home", "/cgi-bin/get_network_info.cgi"),
            page("_HW_V", "/cgi-bin/luci/stats.cgi"),
        ),
        control=Control.DOCUMENTED,
    ),
    "hammer": Spec(
        "drivers.asic.hammer.driver:Hammer",
        Kind.ASIC,
        "Hammer, blackMiner and VolcMiner",
        (
            realm("blackMiner"),
            says("HAMMER"),
            says("BLACKMINER"),
            says("VOLCMINER"),
            page("VolcMiner"),
            page('"Hammer ', "/cgi-bin/get_system_info.cgi"),
            page("VolcMiner", "/cgi-bin/get_system_info.cgi"),
            page("lackminer", "/cgi-bin/get_system_info.cgi"),
        ),
        control=Control.DOCUMENTED,
    ),
    "iceriver": Spec(
        "drivers.asic.iceriver.driver:Iceriver",
        Kind.ASIC,
        "IceRiver",
        (page("用户界面"), page('"rtpow"', "/user/userpanel?post=4")),
        control=Control.DOCUMENTED,
    ),
    "proto": Spec(
        "drivers.asic.proto.driver:Proto",
        Kind.ASIC,
        "Proto Rig",
        (page("Proto OS"), page('"cb_sn"', "/api/v1/system")),
        control=Control.DOCUMENTED,
    ),
    "antminer": Spec(
        "drivers.asic.antminer.driver:Antminer",
        Kind.ASIC,
        "Bitmain stock firmware",
        (says("ANTMINER"), realm("antMiner")),
        borrowed=True,
        control=Control.DOCUMENTED,
    ),
    "cgminer": Spec(
        "drivers.asic.cgminer:Cgminer",
        Kind.ASIC,
        "cgminer and its descendants",
        (says("CGMINER"), says("BFGMINER"), says("SGMINER"), says("BMMINER")),
        borrowed=True,
        control=Control.DOCUMENTED,
    ),
}
"""The order decides where signs of several drivers are seen: firmware before make, own
firmwares of vendors before what they were built on. A new dialect is one row here."""


GENERIC_DRIVER = "cgminer"
"""What an unknown device is read with that speaks the protocol of port 4028."""


def create(name: str, endpoint: Endpoint, context: Context) -> Driver:
    """A driver of that name for that endpoint; KeyError for a name not in the table."""
    module, _, class_name = DRIVERS[name].path.partition(":")
    return cast("Driver", getattr(import_module(module), class_name)(endpoint, context))


def host(clock: Clock) -> Driver:
    """The driver of the host that we run on."""
    return cast("Driver", import_module("drivers.host.host").Host(clock))


BUILT_IN: dict[str, Spec] = {
    "nvml": Spec(
        "drivers.gpu.front:Front", Kind.GPU, "NVIDIA GPUs of this host", control=Control.DOCUMENTED
    ),
}
"""What reads devices without an address, by the name that stands in the inventory."""


def gpus(
    settings: GpuSettings, clock: Clock, told: Callable[[Happening], None], mark: Mark
) -> HostGpus:
    """The GPUs of this host. `told` hears what happens to them from `mark` on; it must not raise.

    Raises a `DriverError` where the table of faults cannot be used.
    """
    front = import_module("drivers.gpu.front").Front
    return cast("HostGpus", front(settings, clock, told, mark))


def has_gpus() -> bool:
    """Whether this host has GPUs that can be read."""
    return bool(import_module("drivers.gpu.present").present())


def check_fault_table(path: Path) -> None:
    """Raise a `DriverError` that says what is wrong with a table of faults."""
    import_module("drivers.gpu.xid").load_table(path)


class Network:
    """The way to the devices of one network: a wire and an HTTP client that share it.

    Belongs to one running event loop; use it as an async context manager.
    """

    def __init__(self, *, source_address: str | None = None, interface: str | None = None) -> None:
        self._source_address = source_address
        self._interface = interface
        self.wire: SocketWire
        self.web: HttpPool

    async def __aenter__(self) -> Network:
        self.wire = SocketWire(source_address=self._source_address, interface=self._interface)
        self.web = HttpPool(source_address=self._source_address, interface=self._interface)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.wire.close()
        self.web.close()
