"""What an Avalon does when it is told to: `ascset` with its options, and `restart`.

Words and forms follow the A10 API manual, Canaan's driver of the Nano 3s and answers of a real Q.
A mode and the pools of an A series machine count from its next boot on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from drivers.sim import orders, protocol
from drivers.sim.answers import Dialect, Reply, reply_to
from drivers.sim.dialects.stored import at_next_boot, boot
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.protocol import Request, Row, Section

MESSAGES = {118: ("I", "ASC 0 set info: {}"), 119: ("S", "ASC 0 set OK")}
MESSAGES |= {120: ("E", "ASC 0 set failed: {}"), 15: ("E", "Missing device id parameter")}
OFF_S = {False: 120.0, True: 229.0}
"""How long a boot takes, on the A series and at home."""
PROGRAM_S = 20.0
PLACES = 3


class Order(NamedTuple):
    """What an option asks for: its effect, when that shows, and what the firmware says to it."""

    name: str
    change: Change
    after_s: float = 0.0
    info: str | None = None
    silent: bool = False


Option = Callable[[Machine, str, float], Order | str]
"""Machine, setting, moment: the order, or why it is none."""


def modes_w(machine: Machine) -> list[int]:
    """The wattages of the modes."""
    return [int(word) for word in str(machine.model.extra["modes_w"]).split()]


def mode_of(machine: Machine) -> int:
    """The number of the mode that the machine is in."""
    return int(machine.settings.mode or machine.model.extra.get("mode", 1))


def respond(home: bool, dialect: Dialect, machine: Machine, data: bytes, now: float) -> Reply:
    """Answer one request; those that write here, the rest as the dialect says."""
    request = protocol.parse_request(data)
    if request.error is None and "*" in machine.model.commands:
        if request.command == "ascset":
            machine.settle(now)
            return _ascset(OPTIONS[home], machine, request, now)
        if request.command == "restart":
            return _restart(machine, request, now)
    return reply_to(dialect, machine, data, now)


def _restart(machine: Machine, request: Request, now: float) -> Reply:
    heard = machine.hear("restart", _begin_anew, now, after_s=1.0)
    if not heard.answers:
        return Reply(b"", request.command, silent=True)
    if not heard.consents:
        return _reply(machine, request, now, 120, "restart")
    return Reply(msgspec.json.encode({"STATUS": "RESTART"}) + b"\0", request.command)


def _begin_anew(machine: Machine, at: float) -> None:
    orders.restart_mining(machine, at + PROGRAM_S * machine.pace)


def _ascset(table: Mapping[str, Option], machine: Machine, request: Request, now: float) -> Reply:
    parameter = request.parameter or ""
    device, _, rest = parameter.partition(",")
    if device != "0":
        return _reply(machine, request, now, 15)
    name, _, setting = rest.partition(",")
    option = table.get(name)
    order = option(machine, setting, now) if option else f"Unknown option: {name}"
    if isinstance(order, str):
        return _reply(machine, request, now, 120, order)
    heard = machine.hear(order.name, order.change, now, after_s=order.after_s)
    if not heard.answers or (order.silent and heard.consents):
        return Reply(b"", request.command, silent=True)
    if not heard.consents:
        return _reply(machine, request, now, 120, f"{name} is not permitted now")
    return _reply(machine, request, now, 119 if order.info is None else 118, order.info or "")


def _reply(machine: Machine, request: Request, now: float, code: int, words: str = "") -> Reply:
    letter, template = MESSAGES[code]
    status: Row = {
        "STATUS": letter,
        "When": int(now),
        "Code": code,
        "Msg": template.format(words),
        "Description": machine.model.description,
    }
    encode = protocol.encode_json if request.json else protocol.encode_text
    # The firmware writes line breaks as they are, in JSON as well.
    return Reply(encode(Section(status)).replace(b"\\n", b"\n"), request.command)


# --- options -----------------------------------------------------------------------------------


def _nothing(machine: Machine, at: float) -> None:
    """A time that has passed, or a question."""


def _soft_off(machine: Machine, setting: str, now: float) -> Order | str:
    return _soft("softoff", orders.sleep, setting, now)


def _soft_on(machine: Machine, setting: str, now: float) -> Order | str:
    return _soft("softon", orders.wake, setting, now)


def _soft_on_mutely(machine: Machine, setting: str, now: float) -> Order | str:
    """As an A series machine does: it hangs up."""
    order = _soft_on(machine, setting, now)
    return order if isinstance(order, str) else order._replace(silent=True)


def _soft(name: str, change: Change, setting: str, now: float) -> Order | str:
    device, colon, moment = setting.partition(":")
    if device != "1" or not colon or not moment.strip().isdigit():
        return f"{name} unknown argument"
    after_s = int(moment) - now
    done = change if after_s > 0 else _nothing
    return Order(name, done, max(0.0, after_s), f"success {name}:{int(moment)}")


def _reboot(home: bool, machine: Machine, setting: str, now: float) -> Order | str:
    if not setting.isdigit() or int(setting) > 300:
        return "reboot value should be 0~300 seconds"
    return Order("reboot", boot(OFF_S[home]), float(setting) + 1.0)


def _reboot_home(machine: Machine, setting: str, now: float) -> Order | str:
    return _reboot(True, machine, setting, now)


def _reboot_series(machine: Machine, setting: str, now: float) -> Order | str:
    return _reboot(False, machine, setting, now)


def _mode_now(machine: Machine, setting: str, now: float) -> Order | str:
    verb, _, number = setting.partition(",")
    if verb != "set" or not number.isdigit():
        return "error:2 parameter error"
    if int(number) >= len(modes_w(machine)):
        return f"error:1 not support set workmode max_mode[{len(modes_w(machine)) - 1}]"
    return Order("workmode", _into(machine, int(number)), 5.0)


def _mode_at_boot(machine: Machine, setting: str, now: float) -> Order | str:
    if setting == "255":
        return Order("workmode-query", _nothing, 0.0, f"WORKMODE[{mode_of(machine)}]")
    if not setting.isdigit() or int(setting) >= len(modes_w(machine)):
        return "workmode unknown argument"
    change = at_next_boot(_into(machine, int(setting)))
    return Order("workmode", change, 0.0, f"WORKMODE[{setting}]")


def _into(machine: Machine, number: int) -> Change:
    watts = modes_w(machine)
    return orders.choose(str(number), watts[number] / max(watts))


def _led(machine: Machine, setting: str, now: float) -> Order | str:
    module, _, light = setting.partition("-")
    if module != "1":
        return f"invalid module_id: {module}, valid range 1-1"
    if light not in ("0", "1"):
        return f"invalid LED status: {light}, valid value 0|1"
    return Order("led", orders.locate(light == "1"))


def _fans(machine: Machine, setting: str, now: float) -> Order | str:
    if setting != "-1" and not (setting.isdigit() and 15 <= int(setting) <= 100):
        return "invalid fan value, valid range 15-100 for stable pwm,-1 for auto adjust"
    return Order("fan-spd", orders.set_fans(None if setting == "-1" else float(setting)))


def _pool(machine: Machine, setting: str, now: float) -> Order | str:
    values = setting.split(",")
    if len(values) != 6 or not values[2].isdigit() or int(values[2]) >= PLACES:
        return f"setpool needs 6 arguments, your input is {len(values)} arguments"
    if (values[0], values[1]) != machine.credential:
        return "Auth Failed! password invalid!"
    place, url, worker, password = int(values[2]), *values[3:]
    words = f"\npool success set to {url}\nworker is {worker}\nworkerpassword is {password}\n"
    change = at_next_boot(_in_place(place, Pool.of(url, worker, password)))
    return Order("setpool", change, 0.0, f"{words}Please reboot miner to make config work.\n")


def _in_place(place: int, pool: Pool) -> Change:
    def change(machine: Machine, at: float) -> None:
        kept = list(machine.pools)
        kept[place : place + 1] = [pool]
        orders.set_pools(kept)(machine, at)

    return change


def _restore(machine: Machine, setting: str, now: float) -> Order | str:
    return Order("restore", orders.factory_reset)


_BOTH: dict[str, Option] = {"softoff": _soft_off}
OPTIONS: dict[bool, dict[str, Option]] = {
    False: _BOTH
    | {
        "softon": _soft_on_mutely,
        "reboot": _reboot_series,
        "workmode": _mode_at_boot,
        "led": _led,
        "setpool": _pool,
        "restore": _restore,
    },
    True: _BOTH
    | {
        "softon": _soft_on,
        "reboot": _reboot_home,
        "workmode": _mode_now,
        "fan-spd": _fans,
    },
}
"""What the A series knows, and what the machines at home do."""

__all__ = ["mode_of", "modes_w", "respond"]
