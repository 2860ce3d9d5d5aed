"""The right to write to a Whatsminer of API 3: a signature for each command, made by its salt.

Every published program signs with its own clock, and how far that may be off is not documented:
so the machine's clock, which its answers show, is taken only where ours was refused. -4 is "no
permission": a wrong password, the factory's where the firmware forbids that, or the write switch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from drivers.actions import Answer, Expectation, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.fields import number
from drivers.asic.whatsminer import cipher
from drivers.asic.whatsminer.access import SWITCH_OFF
from drivers.asic.whatsminer.v3_shapes import as_dict
from drivers.errors import AccessDenied, BadReply, DriverError
from drivers.wire.deadline import Deadline
from drivers.wire.framed import FramedRpc, Question
from drivers.wire.ordering import ordered

FACTORY = Credential("super", "super")
SEALED = frozenset({"set.miner.pools"})
"""Commands whose parameter holds passwords: the manual wants it sealed."""
ASK_SALT = Question("get.device.info", "salt")
CLOCKS_AGREE_S = 5.0


class _NotPermitted(DriverError):
    """Code -4: nothing was done."""

    def __init__(self, said: AccessDenied) -> None:
        super().__init__(str(said))
        self.said = said


class _Order(NamedTuple):
    command: str
    parameter: object
    expectation: Expectation | None


class Access:
    """Sends signed commands to one machine."""

    __slots__ = (
        *("_ahead_s", "_clock", "_credentials", "_endpoint"),
        *("_note_login", "_opened", "_rpc", "_salt"),
    )

    def __init__(self, endpoint: Endpoint, context: Context, rpc: FramedRpc) -> None:
        self._endpoint = endpoint
        self._clock = context.clock
        self._credentials = context.credentials
        self._note_login = context.note_login
        self._rpc = rpc
        self._salt: str | None = None
        self._ahead_s = 0.0
        """How far the machine's clock is ahead of ours, where ours was refused."""
        self._opened: Credential | None = None

    def learn(self, salt: object) -> None:
        """Take the salt from what a poll brought, so that an order is one request."""
        if isinstance(salt, str) and salt:
            self._salt = salt[:64]

    async def order(
        self,
        command: str,
        parameter: object,
        expectation: Expectation | None,
        within_s: float,
    ) -> Receipt:
        """Give an order once, under the first account that may."""
        deadline = Deadline(self._clock, within_s)
        if self._salt is None:
            await self._ask(deadline)
        order = _Order(command, parameter, expectation)
        said = await self._under_each(order, deadline)
        if isinstance(said, AccessDenied) and await self._was_signed_wrongly(deadline):
            said = await self._under_each(order, deadline)
        if isinstance(said, Receipt):
            return said
        words = f"{str(said)[:40]}: the password is wrong, or {SWITCH_OFF}"
        return Receipt(answer=Answer.REFUSED, words=words[:200], expectation=expectation)

    async def _under_each(self, order: _Order, deadline: Deadline) -> Receipt | AccessDenied:
        said = AccessDenied(None, "no account")
        for credential in self._candidates():
            try:
                return await ordered(self._send(order, credential, deadline), order.expectation)
            except _NotPermitted as error:
                said = error.said
        return said

    async def _send(self, order: _Order, credential: Credential, deadline: Deadline) -> str:
        command, parameter = order.command, order.parameter
        ts = int(self._clock.now() + self._ahead_s)
        token, digest = cipher.signature(command, credential.password, self._salt or "", ts)
        if command in SEALED:
            parameter = cipher.sealed_parameter(parameter, digest)
        signed = {"ts": ts, "token": token, "account": credential.user}
        try:
            words = await self._rpc.tell(command, parameter, signed, deadline=deadline)
        except AccessDenied as error:
            raise _NotPermitted(error) from None
        self._opened = credential
        self._note_login(self._endpoint, credential == FACTORY)
        return words

    def _candidates(self) -> Iterator[Credential]:
        """The one that opened before, then the operator's and the factory's."""
        known = (*self._credentials(self._endpoint), FACTORY)
        first = (self._opened,) if self._opened in known else ()
        yield from (each for each in dict.fromkeys((*first, *known)) if each)

    # --- salt and clock ---------------------------------------------------------------------

    async def _ask(self, deadline: Deadline) -> float:
        """Ask for the salt; gives how far the machine's clock is ahead of ours."""
        report = await self._rpc.ask_all((ASK_SALT,), deadline=deadline)
        reply = report.replies[ASK_SALT.name]
        self.learn(as_dict(reply.get("msg")).get("salt"))
        if self._salt is None:
            raise BadReply("no salt")
        when = number(reply.get("when"))
        return 0.0 if when is None else when - self._clock.now()

    async def _was_signed_wrongly(self, deadline: Deadline) -> bool:
        """Whether salt or clock turn out to be others than the refused order was signed with."""
        salt, used_s = self._salt, self._ahead_s
        try:
            ahead_s = await self._ask(deadline)
        except DriverError:
            return False
        self._ahead_s = ahead_s if abs(ahead_s) > CLOCKS_AGREE_S else 0.0
        return self._salt != salt or abs(self._ahead_s - used_s) > CLOCKS_AGREE_S
