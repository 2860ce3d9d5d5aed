"""What is written to VNish's web API: mining, presets, pools, cooling, light, name.

Sources: VNish's OpenAPI description and transcripts of it, the clients pyasic and asic-rs, and an
integration that was tried on an S19 Pro Hydro with 1.3.3 (throttle). `settings` merges what it is
sent, and answers alike whether it took it or not: only what is read back counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from drivers.actions import Answer, Check, Expectation, Latency, Receipt, Relation
from drivers.api import Context
from drivers.asic.effects import asleep, awake, named, pools_are, shows, within
from drivers.asic.fields import number, text, truth
from drivers.asic.page_parts import section
from drivers.asic.unfinished import Note, as_json, begin, finish, under_way
from drivers.asic.vnish import presets as choice
from drivers.asic.vnish.access import admitted, post
from drivers.asic.vnish.presets import Preset
from drivers.asic.vnish.settings import as_object
from drivers.capabilities import PoolSetting
from drivers.errors import DriverError, Refused
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import WebClient

ORDER_S = 25.0
"""For what is asked before a write and the write itself; answers take 1 to 15 ms in its log."""
ASLEEP_S, AWAKE_S, RESTART_S, REBOOT_S, SAVED_S, LIGHT_S = 180.0, 900.0, 900.0, 900.0, 120.0, 60.0
"""How long each may take to show: boards start for minutes, and a start shows no time until they
hash."""
THROTTLE_MIN, THROTTLE_MAX = 20.0, 100.0
POOL_SLOTS = 3
"""The recorded settings list three, the empty ones among them."""
TARGET = "temp-target"
"""The key in `Memory` of the target that was set before the fans were fixed."""

UNTHROTTLED: Mapping[str, Latency] = MappingProxyType(
    {
        "pause": Latency.MINUTE,
        "resume": Latency.MINUTES,
        "restart_mining": Latency.MINUTES,
        "reboot": Latency.MINUTES,
        "limit_power": Latency.MINUTES,
        "choose_preset": Latency.MINUTES,
        "set_pools": Latency.MINUTE,
        "locate": Latency.SECONDS,
        "set_fan_duty": Latency.MINUTE,
        "set_temp_target": Latency.MINUTE,
        "set_hostname": Latency.MINUTE,
        "factory_reset": Latency.MINUTES,
    }
)
THROTTLED: Mapping[str, Latency] = MappingProxyType({**UNTHROTTLED, "throttle": Latency.MINUTE})
"""Since 1.3.3."""
NOTHING: Mapping[str, Latency] = MappingProxyType({})

SAVING = "save"
_SLEEPS = frozenset({"stopped", "stopping", "shutting-down", "paused"})

Fetch = Callable[[str, Deadline], Awaitable[Any]]


class Orders:
    """What is written to one machine; made anew for each action."""

    __slots__ = ("_client", "_clock", "_deadline", "_fetch", "_memory")

    def __init__(self, client: WebClient, fetch: Fetch, context: Context) -> None:
        self._client = client
        self._fetch = fetch
        self._clock = context.clock
        self._memory = context.memory
        self._deadline = Deadline(context.clock, ORDER_S)

    # --- mining ------------------------------------------------------------------------------

    async def pause(self) -> Receipt:
        """Stop mining; a machine that has stopped says that it failed."""
        return await self._say("mining/stop", None, asleep(ASLEEP_S, look_after_s=15.0))

    async def resume(self) -> Receipt:
        """Start mining."""
        return await self._say("mining/start", None, awake(AWAKE_S, look_after_s=75.0))

    async def restart_mining(self) -> Receipt:
        """Start the mining program anew."""
        return await self._say("mining/restart", None, _began_anew(RESTART_S, 75.0))

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        return await self._say("system/reboot", None, _began_anew(REBOOT_S, 150.0))

    async def throttle(self, percent: float) -> Receipt:
        """Hold it at a share of what its preset draws, without a restart."""
        within(percent, THROTTLE_MIN, THROTTLE_MAX, "%")
        share = round(percent)
        expectation = shows("throttle_percent", float(share), SAVED_S, look_after_s=3.0)
        return await self._say("mining/throttle", {"percent": share}, expectation)

    # --- presets -----------------------------------------------------------------------------

    async def limit_power(self, limit_w: float) -> Receipt:
        """Hold it at the highest preset within the limit, and the switcher below that."""
        overclock, presets = await self._tuning()
        preset = choice.at_most(presets, limit_w)
        below = Check("power_limit_w", Relation.AT_MOST, preset.watts)
        return await self._enter(preset, choice.capped(overclock, preset.name), below)

    async def choose_preset(self, name: str) -> Receipt:
        """Choose a preset; where the switcher is on, it may move on from there."""
        overclock, presets = await self._tuning()
        preset = choice.by_name(presets, name)
        exact = Check("power_limit_w", Relation.EQUALS, preset.watts)
        shown = preset.watts is not None and not choice.is_switched(overclock)
        changed = choice.with_preset(overclock, name)
        return await self._enter(preset, changed, *((exact,) if shown else ()))

    async def _tuning(self) -> tuple[dict[str, Any], tuple[Preset, ...]]:
        overclock = choice.overclock_of(await self._fetch("settings", self._deadline))
        page = await self._fetch("autotune/presets", self._deadline)
        return overclock, choice.usable(page, overclock)

    async def _enter(self, preset: Preset, overclock: Any, *checks: Check) -> Receipt:
        chosen = Check("preset", Relation.EQUALS, preset.name)
        expectation = Expectation(any_of=((chosen, *checks),), look_after_s=10.0, until_s=RESTART_S)
        receipt = await self._save({"miner": {"overclock": overclock}}, expectation)
        state = "tuned" if preset.tuned else "not tuned: the machine tunes it first"
        return _adding(receipt, f"preset {preset.name} is {state}")

    # --- other settings ----------------------------------------------------------------------

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the list of pools, which is one value of the settings."""
        settings = await self._fetch("settings", self._deadline)
        found = section(settings, "miner").get("pools")
        slots = max(POOL_SLOTS, len(found) if isinstance(found, list) else 0)
        within(len(pools), 1, slots, "pools")
        rows = [{"url": pool.url, "user": pool.user, "pass": pool.password} for pool in pools]
        rows += [{"url": "", "user": "", "pass": ""}] * (slots - len(rows))
        change = {"miner": {"pools": rows}}
        return await self._save(change, pools_are(pools, RESTART_S, look_after_s=5.0))

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """Fix the fans, or hand them back with the target that they kept before."""
        settings = await self._fetch("settings", self._deadline)
        if percent is None:
            return await self._cool_to(settings, self._former_target(settings))
        cooling, mode = _cooling(settings)
        lowest = number(section(settings, "ui", "consts", "cooling").get("min_fan_pwm"))
        within(percent, lowest, 100.0, "%")
        duty, target = round(percent), number(mode.get("param"))
        if mode.get("name") == "auto" and target is not None:
            await self._memory.put(TARGET, str(target).encode())
        fixed = {**cooling, "mode": {"name": "manual", "param": duty}}
        expectation = shows("fan_duty_percent", float(duty), SAVED_S, look_after_s=5.0)
        return await self._save({"miner": {"cooling": fixed}}, expectation)

    async def set_temp_target(self, temp_c: float) -> Receipt:
        """Have the fans keep a temperature."""
        return await self._cool_to(await self._fetch("settings", self._deadline), temp_c)

    async def _cool_to(self, settings: Any, temp_c: float) -> Receipt:
        cooling, _ = _cooling(settings)
        bounds = section(settings, "ui", "consts", "cooling")
        low, high = number(bounds.get("min_target_temp")), number(bounds.get("max_target_temp"))
        within(temp_c, low, high, "degrees")
        kept = {**cooling, "mode": {"name": "auto", "param": round(temp_c)}}
        expectation = shows("temp_target_c", float(round(temp_c)), SAVED_S, look_after_s=5.0)
        return await self._save({"miner": {"cooling": kept}}, expectation)

    def _former_target(self, settings: Any) -> float:
        _, mode = _cooling(settings)
        shown = number(mode.get("param")) if mode.get("name") == "auto" else None
        kept = number((self._memory.get(TARGET) or b"").decode("ascii", "replace"))
        found = shown if shown is not None else kept
        if found is None:
            raise Refused(None, "no target temperature is known: set one, which frees the fans")
        return found

    async def locate(self, *, on: bool) -> Receipt:
        """Blink; builds that take no body change to the other state, so it is looked at first."""
        status = as_object(await self._fetch("status", self._deadline))
        expectation = shows("locating", on, LIGHT_S)
        if truth(status.get("find_miner")) is on:
            words = "it is so already: nothing was sent"
            return Receipt(answer=Answer.ACCEPTED, words=words, expectation=expectation)
        return await self._say("find-miner", {"on": on}, expectation)

    async def set_hostname(self, hostname: str) -> Receipt:
        """Change the name, and leave the rest of the network as it is."""
        network = section(await self._fetch("settings", self._deadline), "network")
        if text(network.get("hostname")) is None:
            raise Refused(None, "the machine does not show its network: nothing was sent")
        change = {"network": {**network, "hostname": hostname}}
        return await self._save(change, named(hostname, SAVED_S, look_after_s=5.0))

    async def factory_reset(self) -> Receipt:
        """Put every setting back; no page tells a reset machine from another."""
        return await self._say("settings/factory-reset", None, None)

    # --- the way there -----------------------------------------------------------------------

    async def _say(self, name: str, payload: object, expectation: Expectation | None) -> Receipt:
        ticket = await admitted(self._client, self._deadline)
        return await ordered(post(self._client, ticket, name, payload, self._deadline), expectation)

    async def _save(self, change: object, expectation: Expectation) -> Receipt:
        """Write settings, and start mining anew where they need that to take effect."""
        before = as_object(await self._fetch("status", self._deadline))
        pending = truth(before.get("restart_required")) is True
        note = Note(action=SAVING, at=self._clock.now(), before=as_json(pending))
        await begin(self._memory, note)
        try:
            receipt = await self._say("settings", change, expectation)
        except DriverError:  # it was not sent
            await finish(self._memory)
            raise
        try:
            words = await self._use(pending and receipt.answer is not Answer.ACCEPTED)
        except DriverError as error:  # the note stays: `recover` sees to it
            return _adding(receipt, f"whether a restart is needed is not known: {error}")
        await finish(self._memory)
        return _adding(receipt, words) if words else receipt

    async def recover(self) -> Receipt | None:
        """Have settings used that an earlier run stored, as far as they wait for that."""
        note = under_way(self._memory)
        if note is not None:
            words = await self._use(msgspec.json.decode(note.before) is True)
        await finish(self._memory)
        if note is None:
            return None
        return Receipt(answer=Answer.ACCEPTED, words=words or "its settings wait for nothing")

    async def _use(self, others: bool) -> str:
        """Start mining anew where settings wait for that; left alone where they are others'."""
        status = as_object(await self._fetch("status", self._deadline))
        if others or not truth(status.get("restart_required")):
            return ""
        if status.get("miner_state") in _SLEEPS:
            return "it takes effect when mining starts"
        return await self._restart()

    async def _restart(self) -> str:
        try:
            receipt = await self._say("mining/restart", None, None)
        except DriverError as error:
            return f"mining could not be restarted: {error}"
        refused = receipt.answer is Answer.REFUSED
        return f"the restart was refused: {receipt.words}" if refused else "mining starts anew"


def _cooling(settings: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    cooling = section(settings, "miner", "cooling")
    mode = section(cooling, "mode")
    name = text(mode.get("name"))
    if name is None:
        raise Refused(None, "the machine does not show its cooling yet: nothing was sent")
    if name not in ("auto", "manual"):
        raise Refused(None, f"its cooling is {name}, which has no fans to set")
    return cooling, mode


def _began_anew(until_s: float, look_after_s: float) -> Expectation:
    """Time and shares began again. Its time alone begins with every change of state."""
    checks = (
        Check("uptime_s", Relation.BELOW_BEFORE),
        Check("shares_accepted", Relation.BELOW_BEFORE),
    )
    return Expectation(any_of=(checks,), look_after_s=look_after_s, until_s=until_s)


def _adding(receipt: Receipt, words: str) -> Receipt:
    return replace(receipt, words=f"{receipt.words}; {words}"[:240])
