"""Keeps what was ordered of GPUs: what is gone is told, and put back where the policy says so.

Limits and modes of a GPU are lost when its driver is loaded anew, and others on the same host may
set them. What is wanted stands in the device's memory: a restart of the agent changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from agent.command import desired
from agent.command.desired import Cause, News, Setting, Wanted
from agent.command.orders import Order, Result
from agent.command.params import checked
from agent.command.verbs import VERBS
from agent.errors import AgentError
from agent.fleet.events import Event
from agent.fleet.inventory import Device
from drivers.actions import Answer
from drivers.api import Clock, Memory
from drivers.model import Reading
from drivers.model_gpu import GpuReading

log = logging.getLogger("stoker.reconciler")

KEY = "desired"
"""Under which the memory of a device has its settings."""
RESTORER = "agent:restore"
"""Under this name the audit shows what was put back."""

Settings = dict[str, Setting]
"""By aspect."""
_SAID: dict[Answer | None, bool | None] = {
    Answer.ACCEPTED: True,
    Answer.REFUSED: False,
    Answer.UNANSWERED: None,
    None: False,
}
"""Whether a device said that it obeys; one that was asked nothing does not."""


class Shelf(Protocol):
    """Where devices' memories are kept."""

    def remembered(self, device_id: str) -> dict[str, bytes]:
        """What a device's memory holds."""

    def remembering(self, key: str) -> list[str]:
        """The devices whose memory has a key."""

    def memory(self, whose: Callable[[], str]) -> Memory:
        """The memory of the device of this id."""


class Hands(Protocol):
    """What puts something back."""

    def is_busy(self, device: Device) -> bool:
        """Whether something is being done to a device."""

    def put_back(self, device: Device, verb: str, params: dict[str, Any], who: str) -> None:
        """Order it anew, under the rules of every order."""


class Reconciler:
    """Any number of devices, each with a few settings."""

    def __init__(
        self,
        shelf: Shelf,
        clock: Clock,
        hands: Hands,
        tell: Callable[[Event], None],
        *,
        restores: bool,
    ) -> None:
        self._shelf = shelf
        self._clock = clock
        self._hands = hands
        self._tell = tell
        self._restores = restores
        self._settings: dict[str, Settings] = {}
        self._altered: set[str] = set()
        self._news = asyncio.Event()
        for device_id in shelf.remembering(KEY):
            self._settings[device_id] = _read(device_id, shelf.remembered(device_id)[KEY])

    async def run(self) -> None:
        """Write down what changes, until cancelled; then the rest."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                await self._write_all()
        finally:
            await self._write_all()

    # --- orders -------------------------------------------------------------------------------

    def sending(self, device: Device, order: Order) -> None:
        """An order is about to be sent."""
        aspect = order.verb.aspect
        if aspect is None or order.who == RESTORER:
            return
        wanted = Wanted(
            verb=order.verb.name,
            params=msgspec.to_builtins(order.params),
            order=order.id,
            who=order.who,
            at=self._clock.now(),
        )
        desired.send(self._of(device.id).setdefault(aspect, Setting()), wanted)
        self._alter(device.id)

    def ended(self, device: Device, order: Order, result: Result) -> None:
        """An order has its verdict."""
        aspect = order.verb.aspect or ""
        setting = self._of(device.id).get(aspect)
        if setting is None:
            return
        begun = _begun(device.last)
        if order.who == RESTORER:
            if result.verdict.good:
                desired.restored(setting, begun)
                self._alter(device.id)
            return
        if setting.sent is None or setting.sent.order != order.id:
            return
        left = desired.settle(
            setting,
            good=result.verdict.good,
            obeyed=_SAID[result.answer],
            shows=order.verb.settles_s is not None,
            begun=begun,
        )
        if left is None:
            del self._settings[device.id][aspect]
        else:
            self._settings[device.id][aspect] = left
        self._alter(device.id)

    # --- readings -----------------------------------------------------------------------------

    def observe(self, device: Device, reading: Reading) -> None:
        """Hold a reading against what is wanted."""
        settings = self._settings.get(device.id)
        if not settings or self._hands.is_busy(device):
            return
        for aspect, setting in list(settings.items()):
            seen = desired.observe(
                setting,
                sent_shown=_shown(setting.sent, reading),
                held_shown=_shown(setting.held, reading),
                begun=_begun(reading),
                fresh=isinstance(reading, GpuReading) and not reading.medium_age_s,
                now=self._clock.now(),
                restores=self._restores,
            )
            if seen.news is not None:
                self._say(device, seen.news)
            if seen.restore is not None:
                wanted = seen.restore
                self._hands.put_back(device, wanted.verb, wanted.params, RESTORER)
            if setting.held is None and setting.sent is None:
                del settings[aspect]
            if seen.altered:
                self._alter(device.id)

    def _say(self, device: Device, news: News) -> None:
        wanted = news.wanted
        words = f"{wanted.verb} {_plain(wanted.params)}was proved, and its effect is gone: "
        words += _words(news, restores=self._restores)
        log.warning("action.undone: %s", words, extra={"device": device.id})
        details = {
            "verb": wanted.verb,
            "params": wanted.params,
            "order": wanted.order,
            "cause": str(news.cause),
            "times": news.times,
            "restoring": news.restores,
            "contested": news.contested,
        }
        self._tell(
            Event(
                name="action.undone",
                at=datetime.fromtimestamp(self._clock.now(), UTC),
                message=words,
                device_id=device.id,
                address=device.address,
                details={name: value for name, value in details.items() if value},
            )
        )

    # --- what is written down -----------------------------------------------------------------

    def _of(self, device_id: str) -> Settings:
        return self._settings.setdefault(device_id, {})

    def _alter(self, device_id: str) -> None:
        self._altered.add(device_id)
        self._news.set()

    async def _write_all(self) -> None:
        while self._altered:
            await self._write(self._altered.pop())

    async def _write(self, device_id: str) -> None:
        memory, settings = self._shelf.memory(lambda: device_id), self._of(device_id)
        if settings:
            await memory.put(KEY, msgspec.json.encode(settings))
        else:
            await memory.forget(KEY)


def _begun(reading: Reading | None) -> int | None:
    """How often the driver of a GPU began anew: its counter of energy does so with it."""
    return reading.energy_restarts if isinstance(reading, GpuReading) else None


def _shown(wanted: Wanted | None, reading: Reading) -> bool | None:
    if wanted is None:
        return None
    verb = VERBS[wanted.verb]
    since_s = reading.taken_at.timestamp() - wanted.at
    return verb.shown(checked(verb.name, wanted.params, verb.params), reading, since_s)


_CAUSES = {
    Cause.FORGOTTEN: "the driver began anew",
    Cause.CHANGED: "somebody else changed it",
    Cause.UNKNOWN: "found so after a restart of the agent",
}


def _words(news: News, *, restores: bool) -> str:
    words = _CAUSES[news.cause]
    if news.times > 1:
        words += f", {news.times} times since this was told last"
    if news.contested:
        return f"{words} again after it was put back; it is not fought: order it anew to have it"
    if news.restores:
        return f"{words}; it is put back"
    return f"{words}; it is {'not put back more than once an hour' if restores else 'left so'}"


def _plain(params: dict[str, Any]) -> str:
    return f"{msgspec.json.encode(params).decode()} " if params else ""


def _read(device_id: str, record: bytes) -> Settings:
    """What a former run wrote; what cannot be used any more is dropped, and said."""
    try:
        found = msgspec.json.decode(record, type=Settings)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("what was wanted of it is lost: %s", error, extra={"device": device_id})
        return {}
    return {aspect: each for aspect, each in found.items() if _usable(device_id, each)}


def _usable(device_id: str, setting: Setting) -> bool:
    setting.begun = None
    try:
        for wanted in filter(None, (setting.held, setting.sent)):
            checked(wanted.verb, wanted.params, VERBS[wanted.verb].params)
    except (AgentError, KeyError) as error:
        log.warning("a setting is not known here: %s", error, extra={"device": device_id})
        return False
    # one that no reading shows was being undone when the agent ended: nothing is wanted any more
    return setting.sent is None or VERBS[setting.sent.verb].settles_s is not None
