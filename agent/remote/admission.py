"""Whether what a command asks for may be done: verb, rights, parameters, devices, clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from agent.command.control import NOT_READ
from agent.command.orders import Objection, Order
from agent.command.verbs import VERBS, Load, Verb
from agent.errors import AgentError
from agent.fleet.inventory import Device
from agent.remote.book import Book
from agent.remote.claims import Claims
from agent.remote.command import Command, moment
from agent.remote.messages import State
from agent.remote.node_verbs import NODE_VERBS, READ_NOW
from agent.remote.parts import Parts
from agent.remote.reasons import Reason, Rejected
from agent.remote.ring import Key
from agent.remote.roster import Roster
from agent.remote.selecting import checked, chosen, shown

READ_EXPIRY_S = 60.0
MOST_UNDER_WAY = 1000
SAID_DEVICES = 3


class Admission:
    """Admits commands whose sender and time are right."""

    def __init__(
        self, parts: Parts, roster: Roster, book: Book, knows_time: Callable[[], bool]
    ) -> None:
        """`knows_time`: whether this node's clock follows a time source."""
        self._control = parts.control
        self._inventory = parts.inventory
        self._site = parts.site
        self._clock = parts.clock
        self._roster = roster
        self._book = book
        self._knows_time = knows_time

    def expires_at(self, claims: Claims) -> float:
        """When a command's time is over."""
        if claims.exp is not None:
            return claims.exp
        row = VERBS.get(claims.verb) or NODE_VERBS.get(claims.verb)
        return max(claims.iat, claims.nbf or 0.0) + (row.expiry_s if row else READ_EXPIRY_S)

    def lost_in_time(self, claims: Claims) -> bool:
        """Whether this node must not judge by its own clock: it may shed all the same."""
        verb = VERBS.get(claims.verb)
        return not self._knows_time() and verb is not None and verb.always_sheds

    def admit(self, command: Command, key: Key, now: float) -> Sequence[Device]:
        """Move a command to `accepted`; its devices. Raises `Rejected`."""
        claims = command.record.claims
        key.permit(_known(claims.verb), moment(now))
        key.take(self._clock.monotonic())
        self._check_supersedes(claims, key, now)
        if claims.verb in NODE_VERBS:
            devices: list[Device] = []
            self._check_node_verb(claims)
        else:
            devices = self._devices(command, key)
        if len(self._book) >= MOST_UNDER_WAY:
            raise Rejected(Reason.BUSY, f"{MOST_UNDER_WAY} commands are under way")
        command.record.targets = len(devices)
        what = f"{claims.verb} on {len(devices)} devices" if devices else claims.verb
        command.move(State.ACCEPTED, now, f"{what} by {command.who}")
        return devices

    # --- what the node itself is told -------------------------------------------------------

    def _check_node_verb(self, claims: Claims) -> None:
        if claims.target is not None:
            raise Rejected(Reason.BAD_TARGET, f"target: {claims.verb} is for the node itself")
        self._checked_params(claims)
        if not self._knows_time():
            raise _no_time(claims.verb)

    def _checked_params(self, claims: Claims) -> None:
        try:
            NODE_VERBS[claims.verb].checked(claims.params)
        except AgentError as error:
            raise Rejected(Reason.BAD_PARAMS, str(error)) from None

    def _check_supersedes(self, claims: Claims, key: Key, now: float) -> None:
        """Whoever may cancel may supersede; everybody may supersede what he sent himself."""
        if claims.supersedes and not self._owns(claims.supersedes, key):
            key.permit("command.cancel", moment(now))

    def _owns(self, command_ids: Sequence[str], key: Key) -> bool:
        senders = {self._book.sender_of(each) for each in command_ids} - {None}
        return senders <= {key.id}

    # --- what devices are told --------------------------------------------------------------

    def _devices(self, command: Command, key: Key) -> list[Device]:
        claims = command.record.claims
        order = None if claims.verb == READ_NOW else self.order(command)
        target = checked(claims.target)
        devices = chosen(target, self._inventory, self._site)
        if not devices:
            raise Rejected(Reason.NO_TARGET, "no device of this node is meant")
        self._check_reach(command, key, devices)
        if order is None:
            return devices
        self._check_clock(order, devices)
        self._check_objections(order, devices)
        return devices

    def order(self, command: Command) -> Order:
        """The order that a command comes to; raises `Rejected`."""
        claims = command.record.claims
        try:
            order = self._control.order(
                claims.verb, claims.params, shown(claims.target), command.who
            )
        except AgentError as error:
            raise Rejected(Reason.BAD_PARAMS, str(error)) from None
        return msgspec.structs.replace(order, id=command.id, digest=command.record.digest)

    def _check_reach(self, command: Command, key: Key, devices: list[Device]) -> None:
        beyond = [device.id for device in devices if not key.covers(device)]
        if beyond:
            named = ", ".join(beyond[:SAID_DEVICES])
            raise Rejected(
                Reason.NOT_PERMITTED,
                f"key {key.id} reaches not all of the {len(devices)} devices meant: "
                f"{len(beyond)} are beyond its kinds and tags ({named} ...)",
            )
        target = command.record.claims.target
        limits = [each for each in (key.max_targets, target and target.max_targets) if each]
        if not limits or target is None:
            return
        known = len(devices)
        elsewhere = self._roster.most_elsewhere(target, known) if command.record.site_wide else 0
        if known + elsewhere > min(limits):
            also = f" and up to {elsewhere} at other nodes" if elsewhere else ""
            raise Rejected(
                Reason.TOO_MANY_TARGETS, f"{known} devices{also} are meant, at most {min(limits)}"
            )

    def _check_clock(self, order: Order, devices: list[Device]) -> None:
        if not self._knows_time() and not all(sheds(order, each) for each in devices):
            raise _no_time(order.verb.name)

    def _check_objections(self, order: Order, devices: list[Device]) -> None:
        """Reject what can be done to no device at all; the others are told one by one."""
        objections: list[Objection] = []
        for device in devices:
            objection = self._control.objection(device, order)
            if objection is None or objection.reason == NOT_READ:  # it is read before it is told
                return
            objections.append(objection)
        reasons = Counter(each.reason for each in objections)
        (reason, _), *others = reasons.most_common()
        words = next(each.words for each in objections if each.reason == reason)
        if len(devices) > 1:
            counts = ", ".join(f"{count} {each}" for each, count in reasons.most_common())
            words = f"none of {len(devices)} devices may be told ({counts}); first: {words}"
        raise Rejected(Reason.NOT_ALLOWED if others else Reason(reason), words)


def sheds(order: Order, device: Device) -> bool:
    """Whether an order lowers what a device draws."""
    return order.verb.load(order.params, device.last) is Load.SHEDS


def two_person(verb_name: str, named: Sequence[str]) -> bool:
    """Whether a verb waits for a second person: by its own danger, or by configuration."""
    verb: Verb | None = VERBS.get(verb_name)
    return verb_name in named or (verb is not None and verb.dangerous)


def _known(verb: str) -> str:
    if verb not in VERBS and verb not in NODE_VERBS and verb != READ_NOW:
        known = ", ".join((*VERBS, READ_NOW, *NODE_VERBS))
        raise Rejected(Reason.UNKNOWN_VERB, f"unknown verb {verb!a}; known: {known}")
    return verb


def _no_time(verb: str) -> Rejected:
    return Rejected(
        Reason.CLOCK_UNSYNCHRONISED,
        f"this node's clock follows no time source: {verb} does not shed load, so it is not taken",
    )
