"""What AxeOS is told: `PATCH /api/system` for settings, `POST` for the rest; no password is asked.

Pause and resume are ESP-Miner's from 2.14 on. NerdQAxe's firmware knows `shutdown` instead, and
takes up mining with a restart (MinerWatch does so). The page shows settings as they are stored;
pools and host name count from the next restart on, which therefore follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from drivers.actions import Answer, Check, Expectation, Receipt, Relation
from drivers.api import Context, WebReply
from drivers.asic import effects
from drivers.asic.axeos import settings
from drivers.asic.axeos.build import checked
from drivers.asic.axeos.parts import is_paused
from drivers.asic.fields import Row, text
from drivers.asic.unfinished import Note, begin, finish, under_way
from drivers.capabilities import UNFINISHED, PoolSetting
from drivers.errors import AccessDenied, BadReply, DriverError, Refused, Unreachable, Unsupported
from drivers.model import State, pool_target
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import DENIED, UNKNOWN, WebClient

INFO, SYSTEM = "/api/system/info", "/api/system"
PAUSE, RESUME = "/api/system/pause", "/api/system/resume"
SHUTDOWN, RESTART = "/api/system/shutdown", "/api/system/restart"
IDENTIFY = "/api/system/identify"
ANSWER_S = 10.0
BOOT_S = 180.0
WAKE_S = 300.0
ACTION = "set_pools"
_DUTY_SLACK = 2.0
_TEMP_LIMIT_C = 100.0
"""Of the target, by `openapi.yaml`; the firmware stops the chips above 75 degrees all the same."""
_GONE_OUT = "no longer"
"""In what it says when it stops saying "Hi!"."""


class Orders:
    """Sends orders to one device."""

    __slots__ = ("_client", "_context", "awaited")

    def __init__(self, context: Context, client: WebClient) -> None:
        self._context = context
        self._client = client
        self.awaited: tuple[str, ...] | None = None
        """The list of pools that a reading has to show before the note of it is dropped."""

    # --- mining --------------------------------------------------------------------------

    async def pause(self) -> Receipt:
        """Stop the chips; the controller stays."""
        path = PAUSE if "miningPaused" in await self._info() else SHUTDOWN
        return await ordered(self._post(path), _PAUSED)

    async def resume(self) -> Receipt:
        """Start the chips, by a restart where there is no other way and where they stand."""
        info = await self._info()
        awake = effects.awake(WAKE_S, look_after_s=90.0)
        if "miningPaused" in info:
            return await ordered(self._post(RESUME), awake)
        if not is_paused(info):
            return Receipt(answer=Answer.ACCEPTED, words="not shut down", expectation=awake)
        return await ordered(self._post(RESTART), awake)

    async def reboot(self) -> Receipt:
        """Restart the device."""
        return await ordered(self._post(RESTART), effects.restarted(BOOT_S, look_after_s=10.0))

    async def locate(self, *, on: bool) -> Receipt:
        """Have it say "Hi!" for 30 s. The order toggles: only its words tell which way it went."""
        return await ordered(self._identify(on=on), None)

    async def _identify(self, *, on: bool) -> str:
        words = await self._post(IDENTIFY)
        if (_GONE_OUT in words) == on:
            words = await self._post(IDENTIFY)
        return words

    # --- settings ------------------------------------------------------------------------

    async def set_fan_duty(self, percent: float | None) -> Receipt:
        """Hold a duty; overheating still stops the chips. That fans are automatic nothing shows."""
        if percent is not None:
            effects.within(percent, 0.0, 100.0, "%")
        wanted = settings.fans(await self._info(), percent)
        shown = None if percent is None else _blowing(round(percent))
        return await ordered(self._patch(wanted), shown)

    async def set_temp_target(self, temp_c: float) -> Receipt:
        """The temperature that automatic fans keep."""
        effects.within(temp_c, 1.0, _TEMP_LIMIT_C, "degrees")
        target_c = round(temp_c)
        expectation = effects.shows("temp_target_c", float(target_c), 60.0)
        return await ordered(self._patch({"temptarget": target_c}), expectation)

    async def set_hostname(self, hostname: str) -> Receipt:
        """Store a name, and restart so that the network sees it."""
        expectation = effects.named(hostname, BOOT_S, look_after_s=10.0)
        return await ordered(self._patch_and_restart({"hostname": hostname}), expectation)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Store both pools, and restart."""
        info = await self._info()
        wanted = settings.pools(info, pools)
        places = settings.filled(pools)
        note = Note(
            action=ACTION,
            at=self._context.clock.now(),
            pools_before=_shown(info),
            pools_after=places,
        )
        await begin(self._context.memory, note)
        return await self._write_pools(wanted, places)

    async def recover(self) -> Receipt | None:
        """Finish setting pools, where that had come further than a wish.

        The page shows no passwords, so the old list could not be put back whole.
        """
        memory = self._context.memory
        note = under_way(memory)
        if note is None or note.action != ACTION or not note.pools_after:
            if memory.get(UNFINISHED) is not None:
                await finish(memory)
            return None
        info = await self._info()
        stored = _shown(info)
        shown, wanted = _targets(stored), _targets(note.pools_after)
        if shown and (shown == _targets(note.pools_before) or not set(shown) & set(wanted)):
            await finish(memory)
            words = "the pools had not been touched, or others were set since"
            expectation = effects.pools_are(stored, BOOT_S)
            return Receipt(answer=Answer.ACCEPTED, words=words, expectation=expectation)
        return await self._write_pools(settings.pools(info, note.pools_after), note.pools_after)

    async def settle(self, shown: tuple[str, ...] | None) -> None:
        """Drop the note where the device shows the list that is waited for."""
        if shown == self.awaited:
            self.awaited = None
            await finish(self._context.memory)

    async def _write_pools(
        self, wanted: Mapping[str, Any], places: Sequence[PoolSetting]
    ) -> Receipt:
        self.awaited = _targets(places)
        receipt = await ordered(self._patch_and_restart(wanted), _working_for(self.awaited))
        if receipt.answer is Answer.REFUSED:
            self.awaited = None
            await finish(self._context.memory)
        return receipt

    # --- asking --------------------------------------------------------------------------

    async def _info(self) -> Row:
        return checked(await self._client.json(INFO, self._deadline()))

    async def _patch(self, wanted: Mapping[str, Any]) -> str:
        headers = {"Content-Type": "application/json"}
        body = msgspec.json.encode(wanted)
        deadline = self._deadline()
        return words_of(
            await self._client.request("PATCH", SYSTEM, deadline, headers=headers, body=body)
        )

    async def _patch_and_restart(self, wanted: Mapping[str, Any]) -> str:
        """Both steps; after silence the second is taken as well, for the first may be heard."""
        silent: DriverError | None = None
        words = ""
        try:
            words = await self._patch(wanted)
        except Refused:
            raise
        except DriverError as error:
            if not error.sent and not isinstance(error, BadReply):
                raise
            silent = error
        try:
            await self._post(RESTART)
        except DriverError as error:
            silent = silent or error
        if silent is not None:
            found = Unreachable(str(silent))
            found.sent = True
            raise found
        return words

    async def _post(self, path: str) -> str:
        return words_of(await self._client.request("POST", path, self._deadline(), body=b""))

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, ANSWER_S)


def words_of(reply: WebReply) -> str:
    """The device's words to an order; raises the fitting `Refused` for another status than 200."""
    said = reply.body[:200].decode("utf-8", "replace").strip()
    if reply.status == 200:
        return said or "HTTP 200"
    if reply.status in DENIED:
        raise AccessDenied(reply.status, "it takes no orders from this network")
    kind = Unsupported if reply.status in UNKNOWN else Refused
    raise kind(reply.status, said or "no reason given")


def _shown(info: Row) -> tuple[PoolSetting, ...]:
    """The stored pools, without the passwords that nothing shows."""
    found = []
    for prefix in settings.PLACES:
        host, port = text(info.get(f"{prefix}URL")), info.get(f"{prefix}Port")
        if host:
            found.append(PoolSetting(f"{host}:{port}", text(info.get(f"{prefix}User")) or ""))
    return tuple(found)


def _targets(pools: Sequence[PoolSetting]) -> tuple[str, ...]:
    return tuple(pool_target(pool.url, pool.user) for pool in pools)


_PAUSED = Expectation(
    any_of=(
        (
            Check("state", Relation.EQUALS, State.SLEEPING),
            Check("hashrate_ths", Relation.AT_MOST, 0.0),
        ),
        (
            Check("state", Relation.EQUALS, State.SLEEPING),
            Check("power_w", Relation.AT_MOST_OF_BEFORE, 0.5),
        ),
    ),
    look_after_s=2.0,
    until_s=120.0,
)
"""It says so, and its rate or its watts do: the rate of some versions goes on showing."""


def _working_for(targets: tuple[str, ...]) -> Expectation:
    """It shows the list, and has restarted since it was stored."""
    return Expectation(
        any_of=(
            (
                Check("pool_targets", Relation.EQUALS, targets),
                Check("uptime_s", Relation.BELOW_BEFORE),
            ),
        ),
        look_after_s=10.0,
        until_s=BOOT_S,
    )


def _blowing(duty: int) -> Expectation:
    low, high = duty - _DUTY_SLACK, duty + _DUTY_SLACK
    return Expectation(
        any_of=(
            (
                Check("fan_duty_percent", Relation.AT_LEAST, low),
                Check("fan_duty_percent", Relation.AT_MOST, high),
            ),
        ),
        look_after_s=3.0,
        until_s=60.0,
    )
