"""What the web pages of a stock Antminer say, and `new_api` on port 4028 likewise."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from http import HTTPStatus

import msgspec

from drivers.sim.dialects.bitmain_writes import WRITES, mode_of, slots_of
from drivers.sim.face import NOT_FOUND, Ask, Web, json_page
from drivers.sim.face import Page as WebPage
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

API_VERSION = "1.0.0"


@cache
def chip_map(chips: int) -> str:
    """A board's chips, `o` for each that works, in groups of three."""
    marks = "o" * chips
    return "".join(f" {marks[at : at + 3]}" for at in range(0, chips, 3))


def sensors(temp_c: int) -> list[int]:
    """A board's four sensors from its hottest one; two sit at the cooler inlet side."""
    return [temp_c, temp_c, temp_c - 11, temp_c - 10] if temp_c else [0, 0, 0, 0]


def short_difficulty(machine: Machine) -> str:
    """A share difficulty as the pages print it: `524K`."""
    difficulty = machine.traits.share_difficulty
    return f"{int(difficulty / 1000)}K" if difficulty >= 1000 else f"{int(difficulty)}"


def _frame(machine: Machine, now: Snapshot, message: str, **content: object) -> Row:
    model = machine.model
    return {
        "STATUS": {
            "STATUS": "S",
            "when": int(now.now),
            "Msg": message,
            "api_version": API_VERSION,
        },
        "INFO": {
            "miner_version": model.firmware,
            "CompileTime": model.compile_time,
            "type": model.name,
        },
        **content,
    }


def _rates(machine: Machine, now: Snapshot) -> Row:
    return {
        "elapsed": now.uptime_s,
        "rate_5s": round(now.ghs_5s, 2),
        "rate_30m": round(now.ghs_30m, 2),
        "rate_avg": round(now.ghs_av, 2),
        "rate_ideal": round(machine.full_ghs, 2),
        "rate_unit": "GH/s",
    }


def summary(machine: Machine, now: Snapshot) -> Row:
    """`summary.cgi`."""
    health = [_health(machine, kind) for kind in ("rate", "network", "fans", "temp")]
    row = _rates(machine, now) | {
        "hw_all": now.hw_errors,
        "bestshare": now.accepted * 99_991,
        "status": health,
    }
    return _frame(machine, now, "summary", SUMMARY=[row])


_AILMENTS = {
    Condition.BOARD_LOST: ("rate", "e", 1, "R:1"),
    Condition.NO_POOL: ("network", "w", 2, "no pool"),
}


def _health(machine: Machine, kind: str) -> Row:
    """An entry of `status`: `s` for good, `w` and `e` for what is not."""
    ailing, grade, code, words = _AILMENTS.get(machine.condition, ("", "", 0, ""))
    if kind == ailing:
        return {"type": kind, "status": grade, "code": code, "msg": words}
    return {"type": kind, "status": "s", "code": 0, "msg": ""}


def stats(machine: Machine, now: Snapshot) -> Row:
    """`stats.cgi`."""
    model = machine.model
    row = _rates(machine, now) | {
        "chain_num": model.boards,
        "fan_num": model.fans,
        "fan": list(now.fan_rpm),
        "hwp_total": 0.0,
        "miner-mode": mode_of(machine),
        "freq-level": 100,
        "chain": [_chain(machine, now, index) for index in range(model.boards)],
    }
    return _frame(machine, now, "stats", STATS=[row])


def _chain(machine: Machine, now: Snapshot, index: int) -> Row:
    model, board_c, chip_c = machine.model, now.board_c[index], now.chip_c[index]
    chips = machine.chips_at(index)
    return {
        "index": index,
        "freq_avg": machine.frequency_mhz if chips else 0,
        "rate_ideal": round(machine.full_ghs / model.boards, 2),
        "rate_real": round(now.board_ghs[index], 2),
        "asic_num": chips,
        "asic": chip_map(chips),
        "temp_pic": sensors(board_c - 10),
        "temp_pcb": sensors(board_c),
        "temp_chip": sensors(chip_c),
        "hw": now.hw_errors // model.boards,
        "eeprom_loaded": True,
        "sn": machine.board_serials[index],
        "hwp": 0.0,
    }


def pools(machine: Machine, now: Snapshot) -> Row:
    """`pools.cgi`."""
    rows = [_pool(machine, now, index) for index in range(len(machine.pools))]
    return _frame(machine, now, "pools", POOLS=rows)


def _pool(machine: Machine, now: Snapshot, index: int) -> Row:
    pool, active = machine.pools[index], index == 0
    difficulty = machine.traits.share_difficulty
    return {
        "index": index,
        "url": pool.url,
        "user": pool.user,
        "status": "Alive" if machine.pool_alive else "Dead",
        "priority": index,
        "getworks": now.works if active else 3,
        "accepted": now.accepted * active,
        "rejected": now.rejected * active,
        "discarded": now.works * 1150 * active,
        "stale": now.stale * active,
        "diff": short_difficulty(machine) if active else "",
        "diff1": 0,
        "diffa": now.accepted * difficulty * active,
        "diffr": now.rejected * difficulty * active,
        "diffs": now.stale * difficulty * active,
        "lsdiff": difficulty * active,
        "lstime": f"0:00:{max(0, int(now.now) - now.last_share_at):02d}" if active else "0",
    }


def _netmask_of(machine: Machine) -> Row:
    octets = machine.address.split(".")
    return {
        "netmask": "255.255.255.0",
        "gateway": ".".join([*octets[:3], "254"]),
        "dnsservers": "",
    }


def get_system_info(machine: Machine, now: Snapshot) -> Row:
    """`get_system_info.cgi`."""
    return {
        "minertype": machine.model.name,
        "nettype": "DHCP",
        "netdevice": "eth0",
        "macaddr": machine.mac,
        "hostname": machine.hostname,
        "ipaddress": machine.address,
        **_netmask_of(machine),
        "system_mode": "GNU/Linux",
        "system_kernel_version": f"Linux 4.9.113 #1 SMP PREEMPT {machine.model.compile_time}",
        "system_filesystem_version": machine.model.file_system,
        "firmware_type": "Release",
        "serinum": machine.serial,
    }


def get_network_info(machine: Machine, now: Snapshot) -> Row:
    """`get_network_info.cgi`."""
    plain = {
        "nettype": "DHCP",
        "netdevice": "eth0",
        "macaddr": machine.mac,
        "ipaddress": machine.address,
        **_netmask_of(machine),
    }
    names = ("nettype", "hostname", "ipaddress", "netmask", "gateway", "dnsservers")
    configured = {f"conf_{name}": "" for name in names}
    return plain | configured | {"conf_nettype": "DHCP", "conf_hostname": machine.hostname}


def get_miner_conf(machine: Machine, now: Snapshot) -> Row:
    """`get_miner_conf.cgi`."""
    fixed = machine.settings.fan_percent
    return {
        "pools": slots_of(machine),
        "api-listen": True,
        "api-network": True,
        "api-groups": f"A:{':'.join(machine.model.commands)}",
        "api-allow": "A:0/0,W:*",
        "bitmain-fan-ctrl": fixed is not None,
        "bitmain-fan-pwm": "100" if fixed is None else f"{fixed:.0f}",
        "bitmain-use-vil": True,
        "bitmain-freq": str(machine.frequency_mhz),
        "bitmain-voltage": "1360",
        "bitmain-ccdelay": "0",
        "bitmain-pwth": "0",
        "bitmain-work-mode": str(mode_of(machine)),
        "bitmain-hashrate-percent": "100",
        "bitmain-freq-level": "100",
    }


def get_blink_status(machine: Machine, now: Snapshot) -> Row:
    """`get_blink_status.cgi`."""
    return {"blink": machine.settings.locating}


def miner_type(machine: Machine, now: Snapshot) -> Row:
    """`miner_type.cgi`."""
    return {
        "miner_type": machine.model.name,
        "subtype": "AMLCtrl_BHB42XXX",
        "fw_version": machine.model.file_system,
    }


Page = Callable[[Machine, Snapshot], Row]
PAGES: dict[str, Page] = {
    f"/cgi-bin/{page.__name__}.cgi": page
    for page in (
        get_system_info,
        summary,
        stats,
        pools,
        get_miner_conf,
        get_network_info,
        get_blink_status,
        miner_type,
    )
}
RATED_PAGES = frozenset({"/cgi-bin/summary.cgi", "/cgi-bin/stats.cgi"})
_NEW_API: dict[str, Page] = {"summary": summary, "stats": stats, "pools": pools}


def new_api(command: str, machine: Machine, now: Snapshot) -> Row | None:
    """The answer on port 4028 where a request carries `"new_api":true`, if there is one."""
    page = _NEW_API.get(command)
    return page(machine, now) if page else None


def boot_log(machine: Machine, now: Snapshot) -> str:
    """`log.cgi`: some lines of text."""
    model = machine.model
    lines = [f"Booting Linux: {model.name}, {model.file_system}", f"miner id {machine.miner_id}"]
    lines += [f"chain {i}: {model.chips} asics found" for i in range(model.boards)]
    return "\n".join([*lines, f"uptime {now.uptime_s} s"]) + "\n"


FRONT_PAGE = b"<html><head><title>Miner</title></head><body></body></html>"


def page(machine: Machine, ask: Ask, now: Snapshot) -> WebPage:
    """The page of a machine at a path, for a client that has shown its password."""
    if ask.path == "/":
        return WebPage(HTTPStatus.OK, FRONT_PAGE)
    if ask.path == "/cgi-bin/log.cgi":
        return WebPage(HTTPStatus.OK, boot_log(machine, now).encode(), "text/plain")
    if ask.path in WRITES:
        return WRITES[ask.path](machine, ask, now)
    made = PAGES.get(ask.path)
    if made is None:
        return NOT_FOUND
    rated = ask.path in RATED_PAGES
    return msgspec.structs.replace(
        json_page(made(machine, now)),
        ghs=round(now.ghs_5s, 2) if rated else None,
        elapsed=now.uptime_s if rated else None,
    )


WEB = Web(page, realm="antMiner")
