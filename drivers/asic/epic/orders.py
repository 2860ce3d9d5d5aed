"""What ePIC's firmware is told: every order is a POST with the password beside its parameter.

Sources: ePIC's API document v3, and what its own dashboard sends; pyasic and asic-rs send the
same. Orders for the program and its pools are answered when they are done, within a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from drivers.actions import Answer, Check, Expectation, Latency, Receipt, Relation
from drivers.api import Context, Credential, Endpoint
from drivers.asic.effects import awake, restarted, shows, within
from drivers.asic.epic.build import checked
from drivers.asic.epic.tuner import Tuner, share_percent, tuner_of
from drivers.asic.fields import integer, number, text, truth
from drivers.asic.page_parts import POOLS_LIMIT, listed, section
from drivers.capabilities import PoolSetting
from drivers.errors import AccessDenied, Refused, Unsupported
from drivers.model import State, pool_target
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import DENIED, UNKNOWN, WebClient, decoded

FACTORY = Credential("", "letmein")
SUMMARY, CAPABILITIES = "/summary", "/capabilities"
ORDER_S = 65.0
"""The dashboard waits a minute for pools and for the program."""
ASLEEP_S, AWAKE_S, RESTART_S, REBOOT_S = 180.0, 900.0, 600.0, 900.0
TUNED_S, SAVED_S, LIGHT_S = 900.0, 120.0, 60.0
POOLS_MAX = 3
"""ePIC's API document v3, `/coin`."""
AUTO, TARGET_C, IDLE = "Auto", "Target Temperature", "Idle Speed"
FAN_CONTROL, FULL_TARGET = "fan-control", "tuner-target"
"""Keys in `Memory`: how the fans were controlled, and the tuner's target, before we changed it."""

OLD: MappingProxyType[str, Latency] = MappingProxyType(
    {
        "pause": Latency.MINUTE,
        "resume": Latency.MINUTES,
        "restart_mining": Latency.MINUTES,
        "reboot": Latency.MINUTES,
        "locate": Latency.SECONDS,
    }
)
"""Before API v3 pools and fans are set by other pages."""
PLAIN: MappingProxyType[str, Latency] = MappingProxyType(
    {
        **OLD,
        "set_pools": Latency.MINUTE,
        "set_fan_duty": Latency.MINUTE,
        "set_temp_target": Latency.MINUTE,
    }
)
TUNING: MappingProxyType[str, Latency] = MappingProxyType({**PLAIN, "throttle": Latency.MINUTES})
"""Where a tuner holds a hash rate."""
_JSON = {"Content-Type": "application/json"}


class Orders:
    """What is told to one machine; made anew for each action."""

    __slots__ = ("_client", "_context", "_deadline", "_endpoint")

    def __init__(self, client: WebClient, endpoint: Endpoint, context: Context) -> None:
        self._client = client
        self._endpoint = endpoint
        self._context = context
        self._deadline = Deadline(context.clock, ORDER_S)

    # --- the program and the machine -----------------------------------------------------------

    async def pause(self) -> Receipt:
        """Stop the program; a stopped one shows no boards, and so no rate that could be 0."""
        stopped = Check("state", Relation.EQUALS, State.SLEEPING)
        expectation = Expectation(any_of=((stopped,),), look_after_s=15.0, until_s=ASLEEP_S)
        return await self._tell("/miner", "Stop", expectation)

    async def resume(self) -> Receipt:
        """Start it, as it does by itself after a boot."""
        return await self._tell("/miner", "Autostart", awake(AWAKE_S, look_after_s=20.0))

    async def restart_mining(self) -> Receipt:
        """Start the program anew; the parameter is a delay in seconds."""
        return await self._tell("/softreboot", 0, restarted(RESTART_S, look_after_s=15.0))

    async def reboot(self) -> Receipt:
        """Boot the whole machine; the parameter is a delay in seconds."""
        return await self._tell("/reboot", 0, restarted(REBOOT_S, look_after_s=90.0))

    async def locate(self, *, on: bool) -> Receipt:
        """Switch the red light."""
        return await self._tell("/identify", on, shows("locating", on, LIGHT_S))

    # --- the tuner ---------------------------------------------------------------------------

    async def throttle(self, percent: float) -> Receipt:
        """Aim the tuner at a share of the rate that the machine is made for."""
        tuner = tuner_of(
            await self._page(SUMMARY), await self._client.json(CAPABILITIES, self._deadline)
        )
        if tuner is None:
            raise Refused(None, "no tuner holds a hash rate: nothing was sent")
        lowest, highest = tuner.range_percent
        within(percent, lowest, highest, "%")
        target = await self._target(tuner, percent)
        param = {"algo": tuner.algorithm, "target": target, **tuner.throttling(target)}
        share = share_percent(target, tuner.default_ths)
        checks = [Check("throttle_percent", Relation.EQUALS, share)]
        if target < tuner.target_ths:
            checks.append(Check("hashrate_ths", Relation.AT_MOST, 1.1 * target))
        expectation = Expectation(any_of=(tuple(checks),), look_after_s=60.0, until_s=TUNED_S)
        receipt = await self._tell("/perpetualtune/algo", param, expectation)
        if percent >= 100 and receipt.answer is Answer.ACCEPTED:
            await self._context.memory.forget(FULL_TARGET)
        return receipt

    async def _target(self, tuner: Tuner, percent: float) -> int:
        """In TH/s; 100 % is what stood there before, where that was more than the default."""
        memory, default = self._context.memory, tuner.default_ths
        if percent < 100:
            if tuner.target_ths > default:
                await memory.put(FULL_TARGET, str(tuner.target_ths).encode())
            return round(default * percent / 100)
        noted = number((memory.get(FULL_TARGET) or b"").decode("ascii", "replace"))
        return round(max(default, tuner.target_ths, noted or 0.0))

    # --- pools -------------------------------------------------------------------------------

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the pools; coin and marks of the worker names stay as they are."""
        within(len(pools), 1, POOLS_MAX, "pools")
        summary = await self._page(SUMMARY)
        coin = text(section(summary, "Mining").get("Coin"))
        if coin is None or "StratumConfigs" not in summary:
            raise Refused(None, "this version does not show its pools: nothing was sent")
        rows = [{"pool": p.url, "login": p.user, "password": p.password} for p in pools]
        marked = _marks_workers(summary)
        param = {"coin": coin, "stratum_configs": rows, "unique_id": marked}
        mark = _mark(summary) if marked else ""
        return await self._tell("/coin", param, _pools_are(pools, mark))

    # --- cooling -----------------------------------------------------------------------------

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """Fix the fans, or hand them back as they were controlled before."""
        control = _control(await self._page(SUMMARY))
        if percent is None:
            found = control or self._noted_control()
            if found is None:
                raise Refused(None, "no target temperature is known: set one, which frees the fans")
            return await self._control_fans(found)
        within(percent, 1.0, 100.0, "%")
        if control is not None:
            await self._context.memory.put(FAN_CONTROL, msgspec.json.encode(control))
        duty = round(percent)
        expectation = shows("fan_duty_percent", float(duty), SAVED_S, look_after_s=10.0)
        return await self._tell("/fanspeed", str(duty), expectation)

    async def set_temp_target(self, temp_c: float) -> Receipt:
        """Have the fans keep a temperature below the one at which the machine stops."""
        summary = await self._page(SUMMARY)
        within(temp_c, None, number(section(summary, "Misc").get("Shutdown Temp")), "degrees")
        found = _control(summary) or self._noted_control() or {IDLE: 100}
        return await self._control_fans({**found, TARGET_C: round(temp_c)})

    async def _control_fans(self, control: dict[str, Any]) -> Receipt:
        target_c = number(control.get(TARGET_C))
        if target_c is None:
            raise Refused(None, "no target temperature is known: set one, which frees the fans")
        expectation = shows("temp_target_c", target_c, SAVED_S, look_after_s=10.0)
        return await self._tell("/fanspeed", {AUTO: control}, expectation)

    def _noted_control(self) -> dict[str, Any] | None:
        try:
            found = msgspec.json.decode(self._context.memory.get(FAN_CONTROL) or b"null")
        except msgspec.DecodeError:
            return None
        return found if isinstance(found, dict) else None

    # --- the way there -----------------------------------------------------------------------

    async def _page(self, path: str) -> dict[str, Any]:
        return checked(await self._client.json(path, self._deadline))

    async def _tell(self, path: str, param: object, expectation: Expectation) -> Receipt:
        return await ordered(self._send(path, param), expectation)

    async def _send(self, path: str, param: object) -> str:
        """With the operator's passwords, then the factory's: a wrong one changes nothing."""
        refusal = AccessDenied(None, "no password opens")
        for credential in self._passwords():
            try:
                words = await self._post(path, {"param": param, "password": credential.password})
            except AccessDenied as error:
                refusal = error
            else:
                self._context.note_login(self._endpoint, credential == FACTORY)
                return words
        raise refusal

    def _passwords(self) -> Iterator[Credential]:
        known = [*self._context.credentials(self._endpoint), FACTORY]
        seen: set[str] = set()
        for credential in known:
            if credential.password not in seen:
                seen.add(credential.password)
                yield credential

    async def _post(self, path: str, body: dict[str, Any]) -> str:
        raw = msgspec.json.encode(body)
        reply = await self._client.request("POST", path, self._deadline, headers=_JSON, body=raw)
        if reply.status in UNKNOWN:
            raise Unsupported(reply.status, f"no page {path}")
        if reply.status in DENIED:
            raise AccessDenied(reply.status, f"{path} is closed")
        answer = section(decoded(reply, path))
        words = text(answer.get("error"))
        if truth(answer.get("result")) is True:
            return words or "accepted"
        if words and "password" in words.lower():
            raise AccessDenied(None, words)
        raise Refused(None, words or "the machine says that it failed")


def _control(summary: Any) -> dict[str, Any] | None:
    """How the firmware controls the fans, None where they are fixed."""
    auto = section(summary, "Fans", "Fan Mode", AUTO)
    kept = {key: integer(auto.get(key)) for key in (TARGET_C, IDLE)}
    found = {key: value for key, value in kept.items() if value is not None}
    return found if TARGET_C in found else None


def _marks_workers(summary: Any) -> bool:
    """Whether the machine adds something of its own to the names of its workers."""
    told = section(summary, "Stratum").get("Worker Unique Id")
    if told is None:
        told = section(summary, "Misc").get("Append Unique Id To Worker")
    return truth(told) is True


def _mark(summary: Any) -> str:
    """What it adds: the end of the name in use that is not configured."""
    user = text(section(summary, "Stratum").get("Current User")) or ""
    logins = [text(row.get("login")) for row in listed(summary.get("StratumConfigs"), POOLS_LIMIT)]
    found = [user.removeprefix(login) for login in logins if login and user.startswith(login)]
    return min(found, key=len, default="")


def _pools_are(pools: Sequence[PoolSetting], mark: str) -> Expectation:
    """The list is this one; the pool in use shows the marked name, whichever it is."""
    plain = [pool_target(pool.url, pool.user) for pool in pools]
    lists = [tuple(plain)]
    for at, pool in enumerate(pools if mark else ()):
        lists.append((*plain[:at], pool_target(pool.url, pool.user + mark), *plain[at + 1 :]))
    groups = tuple((Check("pool_targets", Relation.EQUALS, wanted),) for wanted in lists)
    return Expectation(any_of=groups, look_after_s=10.0, until_s=SAVED_S)
