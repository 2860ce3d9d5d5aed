"""Everything that can be ordered of this node's devices, put together."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from agent.command.actor import Actor
from agent.command.audit_notes import Audit, AuditNotes
from agent.command.dispatcher import Dispatcher
from agent.command.keeper import Keeper
from agent.command.lasting import Lasting
from agent.command.letting_go import LettingGo
from agent.command.locks import Lock, Locks
from agent.command.orders import Job, Objection, Order, Result
from agent.command.params import checked
from agent.command.policy import Policy
from agent.command.prover import Prover
from agent.command.reconciler import Reconciler
from agent.command.recovery import RECOVER, Recovery
from agent.command.starts import Starts
from agent.command.targets import parse, value_of
from agent.command.verbs import VERBS
from agent.command.work import Work
from agent.config.schema import Control as ControlSettings
from agent.errors import AgentError
from agent.fleet.events import Event
from agent.fleet.inventory import Device, Inventory
from agent.fleet.poller import Poller
from agent.fleet.registrar import Registrar
from drivers.actions import Expectation
from drivers.api import Clock, Memory
from drivers.capabilities import UNFINISHED, can
from drivers.model import Reading

log = logging.getLogger("stoker.control")

NOT_READ = "not_read"
"""The reason of an objection that may be gone a moment later."""
SHOWN_FAILURES = 50
"""Devices that an event names, of those that did not do as ordered."""


class Store(Protocol):
    """What is kept on disk for control."""

    def remembered(self, device_id: str) -> dict[str, bytes]:
        """What a device's memory holds."""

    def remembering(self, key: str) -> list[str]:
        """The devices whose memory has a key."""

    def memory(self, whose: Callable[[], str]) -> Memory:
        """The memory of the device of this id."""

    async def save_lock(self, scope: str, record: bytes | None) -> None:
        """Write a lock, or drop it."""


class Durable(NamedTuple):
    """What outlives the agent, as control needs it."""

    store: Store
    locks: list[bytes]
    """Those that were saved."""
    audit: Audit


class Control:
    """Takes orders, holds them against policy and locks, and follows them to their proof."""

    def __init__(
        self,
        settings: ControlSettings,
        *,
        inventory: Inventory,
        poller: Poller,
        registrar: Registrar,
        clock: Clock,
        durable: Durable,
        tell: Callable[[Event], None],
        restores: bool = False,
    ) -> None:
        """`restores`: whether settings of GPUs that are found undone are put back."""
        self.policy = Policy(settings)
        store = durable.store
        self.locks = Locks(durable.locks, store.save_lock)
        self._groups = settings.start_group
        self._inventory = inventory
        self._clock = clock
        self._audit = durable.audit
        self._notes = AuditNotes(durable.audit, clock)
        self.gpus = LettingGo(inventory, durable.audit)
        self._tell = tell
        self._prover = Prover(clock, poller, registrar.reidentify)
        self._reconciler = Reconciler(store, clock, self, tell, restores=restores)
        self._lasting = Lasting(self._reconciler, clock, tell)
        self.dispatcher = Dispatcher(
            actor=Actor(poller, clock),
            prover=self._prover,
            starts=Starts[Work](settings.starts_per_minute, settings.starts_per_group_per_minute),
            rules=self,
            precedence=poller.precedence,
            concurrency=settings.concurrency,
            clock=clock,
        )
        self._recovery = Recovery(
            left=store.remembering(UNFINISHED),
            unfinished=lambda device_id: UNFINISHED in store.remembered(device_id),
            inventory=inventory,
            dispatcher=self.dispatcher,
            clock=clock,
            tell=tell,
        )
        pause = VERBS["mining.pause"]
        self._keeper = Keeper(
            inventory, clock, lambda device: self.policy.objection(device, pause) is None
        )
        poller.observe = self._observe

    def parts(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What has to run."""
        return [
            ("dispatcher", self.dispatcher.run()),
            ("prover", self._prover.run()),
            ("recovery", self._recovery.run()),
            ("keeper", self._keeper.run()),
            ("audit notes", self._notes.run()),
            ("reconciler", self._reconciler.run()),
        ]

    def adopt(self, settings: ControlSettings) -> None:
        """Take over what another configuration allows; the rates of starts stay."""
        self.policy = Policy(settings)

    @property
    def mode(self) -> str:
        """How far this node may act, in a word for its status."""
        return "observe only" if self.policy.observes_only else "allowed"

    # --- orders -----------------------------------------------------------------------------

    def order(self, verb_name: str, params: dict[str, Any], target: str, who: str) -> Order:
        """An order from what somebody wrote; raises `AgentError` saying what is wrong with it."""
        verb = VERBS.get(verb_name)
        if verb is None:
            raise AgentError(f"unknown verb {verb_name!a}; known: {', '.join(VERBS)}")
        content = checked(verb_name, params, verb.params)
        return Order(id=uuid.uuid4().hex, verb=verb, params=content, who=who, target=target)

    def chosen(self, target: str) -> list[Device]:
        """The devices of a target; raises `AgentError` where it names none."""
        selector = parse(target)
        devices = [device for device in self._inventory if selector.chooses(device)]
        if not devices:
            raise AgentError(f"target {target!a}: no device of this node is meant by it")
        return devices

    def begin(self, order: Order) -> Job:
        """Set an order going on every device of its target."""
        return self.submit(order, self.chosen(order.target))

    def submit(self, order: Order, devices: list[Device]) -> Job:
        """Set an order going on these devices."""
        self._notes.begun(order, len(devices))
        if len(devices) > 1:
            words = f"{order.verb.name} on {len(devices)} devices for {order.who}"
            self._event("action.begun", words, order, devices=len(devices))
        return self.dispatcher.submit(order, devices)

    def finished(self, job: Job) -> None:
        """Tell how a job over several devices ended."""
        counts = job.counts()
        self._notes.ended(job.order, counts)
        if len(job.devices) > 1:
            failed = [each.device_id for each in job.results if not each.verdict.good]
            words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
            self._event(
                "action.ended",
                f"{job.order.verb.name} for {job.order.who}: {words}",
                job.order,
                verdicts=counts,
                not_done=failed[:SHOWN_FAILURES],
                not_done_more=max(0, len(failed) - SHOWN_FAILURES),
            )

    def objection(self, device: Device, order: Order) -> Objection | None:
        """Why an order may not go to a device; None where it may."""
        verb = order.verb
        lock = None if verb.past_locks else self.locks.on(device)
        if lock is not None:
            return Objection("locked", str(lock))
        if verb is RECOVER:  # it puts right what we did ourselves
            return None
        if not can(device.driver, verb.action):
            model = device.identity.model or device.driver_name
            if device.last is None:
                return Objection(NOT_READ, f"{model} has not answered since the agent started")
            return Objection("incapable", f"{model} cannot do {verb.name}")
        if device.id in self._recovery and not verb.past_locks:
            words = "an earlier change was interrupted and is being put right first"
            return Objection("recovering", words)
        forbidden = self.policy.objection(device, verb)
        return None if forbidden is None else Objection("not_allowed", forbidden)

    def start_group(self, device: Device) -> str:
        """What a device shares with others that must not start together: breaker, rack, subnet."""
        for key in self._groups:
            value = value_of(device, key)
            if value is not None:
                return f"{key}={value}"
        return device.subnet

    # --- what lasts ---------------------------------------------------------------------------

    def sending(self, device: Device, order: Order) -> None:
        """Note that an order is sent to a device now."""
        self._lasting.sending(device, order)

    def proved(self, device: Device, order: Order, wanted: Expectation) -> None:
        """Note that a reading has shown the effect of an order."""
        self._lasting.proved(device, order, wanted)

    def is_busy(self, device: Device) -> bool:
        """Whether something is being done to a device, or waits to be."""
        return self.dispatcher.is_busy(device.id)

    def put_back(self, device: Device, verb: str, params: dict[str, Any], who: str) -> None:
        """Order something anew that was found undone, under the rules of every order."""
        self.submit(self.order(verb, params, device.id, who), [device])

    # --- locks ------------------------------------------------------------------------------

    def held_by(self, lock: Lock) -> int:
        """How many devices a lock holds at this moment."""
        return sum(map(parse(lock.scope).chooses, self._inventory))

    async def lock(self, scope: str, reason: str, who: str) -> Lock:
        """Lock a tag, device or address; a lock that holds already is given back as it is."""
        scope = str(parse(scope))
        wanted = Lock(scope, who, datetime.fromtimestamp(self._clock.now(), UTC), reason)
        lock = await self.locks.put(wanted)
        if lock is wanted:
            self._told_of_lock("lock.set", who, str(lock), lock)
        return lock

    async def unlock(self, scope: str, who: str) -> Lock:
        """Lift a lock; raises `AgentError` where there is none."""
        scope = str(parse(scope))
        lock = await self.locks.clear(scope)
        if lock is None:
            held = ", ".join(each.scope for each in self.locks) or "nothing"
            raise AgentError(f"{scope} is not locked; locked: {held}")
        self._told_of_lock("lock.cleared", who, f"{scope} unlocked by {who}", lock)
        return lock

    def _told_of_lock(self, name: str, who: str, words: str, lock: Lock) -> None:
        log.warning("%s: %s", name, words, extra={"user": who})
        self._audit.note(who, name, lock)
        details = {"scope": lock.scope, "who": who, "reason": lock.reason}
        self._tell(Event(name=name, at=self._now(), message=words, details=details))

    # --- what happened ------------------------------------------------------------------------

    def _observe(self, device: Device, reading: Reading, at: float) -> None:
        self._prover.observe(device, reading, at)
        self._lasting.observe(device, reading)

    def ended(self, order: Order, device: Device, result: Result) -> None:
        """Note how an order ended on one device."""
        self._notes.result(order, result)
        self._lasting.ended(device, order, result)
        fields = {"device": device.id, "command": order.id, "user": order.who}
        words = f"{order.verb.name}: {result.verdict}: {result.words}"
        log.log(logging.DEBUG if result.verdict.good else logging.INFO, "%s", words, extra=fields)
        if order.verb is not RECOVER:
            if not self.dispatcher.is_busy(device.id):  # else it may be in the middle of a change
                self._recovery.check(device.id)
            if order.target in (device.id, device.address):
                self._event("action.done", words, order, device=device, result=result)

    def _event(
        self, name: str, words: str, order: Order, *, device: Device | None = None, **details: Any
    ) -> None:
        self._tell(
            Event(
                name=name,
                at=self._now(),
                message=words,
                device_id=device.id if device else None,
                address=device.address if device else None,
                details={
                    "order": order.id,
                    "verb": order.verb.name,
                    "target": order.target,
                    "who": order.who,
                    **msgspec.to_builtins(details),
                },
            )
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)
