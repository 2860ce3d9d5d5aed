"""IceRiver: one page, glued together as its published code does.

Counts are floats, a missing word is `(null)`, all chips are listed as `false` on healthy boards,
`tempstate` is false on healthy machines. With `session` in its `extra` a machine wants a login,
gives a cookie for it, and shows its login page to whoever has none. What is ordered is in
`iceriver_orders`.
"""

from __future__ import annotations

from drivers.sim.dialects.iceriver_orders import FAN_RATIO, write
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, html_page, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

_FRONT = "<!DOCTYPE html><html><head><TITLE>用户界面</TITLE></head><body></body></html>"
_LOGIN = "<!DOCTYPE html><html><head><title>login</title></head><body></body></html>"


def _page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    asked = ask.query | ask.form
    if ask.path == "/":
        return html_page(_FRONT)
    if ask.path == "/user/loginpost" and asked.get("post") == "6":
        return _login(machine, asked, now)
    if ask.path not in ("/user/userpanel", "/user/machineconfig"):
        return NOT_FOUND
    cookie = ask.headers.get("cookie", "").partition("=")[2]
    if machine.model.extra.get("session") and cookie not in machine.sessions:
        return html_page(_LOGIN)
    return _inside(machine, ask, now)


def _inside(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    asked = ask.query | ask.form
    if ask.path == "/user/machineconfig" and asked.get("post") == "1":
        pools = [_pool(machine, now, at) for at in range(len(machine.pools))]
        data = {"pools": pools, "ratio": FAN_RATIO, "mode": 1.0}
        return json_page({"error": 0, "data": data, "message": ""})
    if ask.path == "/user/userpanel" and asked.get("post") == "4":
        return json_page({"error": 0, "data": _panel(machine, now), "message": ""})
    return write(machine, ask.path, asked, now)


def _login(machine: Machine, asked: dict[str, str], now: Snapshot) -> Page:
    if asked.get("user") != machine.credential[0]:
        return json_page({"error": 1001, "data": {"id": "login"}, "message": "user not exist"})
    if asked.get("pwd") != machine.credential[1]:
        return json_page({"error": 1002, "data": {"id": "login"}, "message": "password error"})
    page = json_page({"error": 0, "data": {"id": "login"}, "message": "(null)"})
    if not machine.model.extra.get("session"):
        return page
    token = f"{machine.miner_id}{len(machine.sessions)}"
    machine.sessions[token] = now.now
    cookie = ("Set-Cookie", f"session={token}; Path=/; HttpOnly")
    return Page(page.status, page.body, page.kind, headers=(cookie,))


def _panel(machine: Machine, now: Snapshot) -> Row:
    model, boards = machine.model, range(machine.model.boards)
    hours, minutes = now.uptime_s // 3600, now.uptime_s // 60 % 60
    return {
        "model": "none",
        "algo": "none",
        "online": True,
        "firmver1": "BOOT_3_1",
        "firmver2": "image_1.0",
        "softver1": model.firmware,
        "softver2": model.firmware.replace("_miner", "_bg"),
        "firmtype": "Factory",
        "nic": "eth0",
        "mac": machine.mac,
        "ip": machine.address,
        "netmask": "255.255.255.0",
        "host": machine.hostname,
        "dhcp": True,
        "gateway": "(null)",
        "dns": "",
        "locate": machine.settings.locating,
        "rtpow": f"{now.ghs_5s:.0f}G",
        "avgpow": f"{now.ghs_30m:.0f}G",
        "reject": 0.0,
        "runtime": f"{hours // 24:02}:{hours % 24:02}:{minutes:02}:{now.uptime_s % 60:02}",
        "unit": "G",
        "pows": {"board1": [round(now.ghs_30m)] * 14},
        "pows_x": [f"{at * 5} mins" for at in range(14)],
        "powstate": machine.condition is not Condition.BOARD_LOST,
        "netstate": True,
        "fanstate": True,
        "tempstate": False,
        "fans": list(now.fan_rpm),
        "pools": [_pool(machine, now, at) for at in range(len(machine.pools))],
        "boards": [_board(machine, now, at) for at in boards],
        "refTime": "2026-01-01 00:00:00 UTC",
    }


def _pool(machine: Machine, now: Snapshot, at: int) -> Row:
    used = at == 0
    alive = used and machine.pool_alive
    return {
        "no": at + 1.0,
        "addr": machine.pools[at].url,
        "user": machine.pools[at].user,
        "pass": machine.pools[at].password,
        "connect": 1.0 if alive else -1.0,
        "diff": "140737.49 G",
        "priority": at + 1.0,
        "accepted": float(now.accepted * used),
        "rejected": float(now.rejected * used),
        "diffa": 0.0,
        "diffr": 0.0,
        "state": 1.0 if alive else 0.0,
        "lsdiff": 0.0,
        "lstime": "00:00:00",
    }


def _board(machine: Machine, now: Snapshot, at: int) -> Row:
    chips = machine.chips_at(at)
    return {
        "no": at + 1.0,
        "chipnum": float(chips),
        "chipsuc": 0.0,
        "error": 0.0,
        "freq": float(machine.frequency_mhz),
        "rtpow": f"{now.board_ghs[at]:.2f}G",
        "avgpow": f"{now.board_ghs[at]:.2f}G",
        "idealpow": "0.00G",
        "tempnum": "(null)",
        "pcbtemp": "0.00-0.00-0.00-0.00",
        "intmp": float(now.board_c[at]),
        "outtmp": float(now.chip_c[at]),
        "state": bool(chips),
        "false": list(range(1, chips + 1)) if chips else "",
    }


FACE = Face(web=Web(_page, server="Embedthis-http"), polled="web")
