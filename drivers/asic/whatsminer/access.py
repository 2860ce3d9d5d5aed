"""The right to write to a Whatsminer of API 2: one token per machine, kept and renewed.

MicroBT's manual 2.0.5: a token lives 30 minutes, one address gets 32 of them, 135 is a token that
the machine does not know (it forgets them as it boots), 136 one too many. So a token is kept; on
135 a new one is asked for, once; 136 is not answered by asking for more. A wrong password shows
as code 23, "enc json load err": the machine could not read the command, so that it may be sent
again under another password. Code 45 is the write switch, which is its owner's alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from drivers.actions import Answer, Expectation, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.whatsminer import cipher
from drivers.asic.whatsminer.shapes import content
from drivers.errors import AccessDenied, BadReply, DriverError, OutOfRange, Refused
from drivers.wire import cgminer
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered

FACTORY = Credential("admin", "admin")
TOKEN_LIFE_S = 1800.0
RENEW_AT_S = 1500.0
NO_JSON, DENIED, TOKEN_UNKNOWN, NO_BASE64 = 23, 45, 135, 137
SWITCH_OFF = (
    "its API takes no writing commands: the owner sets a password of his own and switches it on "
    "in WhatsMinerTool"
)
_UNREAD = frozenset({NO_JSON, NO_BASE64})


class _Grant(NamedTuple):
    """What `get_token` gave: not yet a token, but all that it is made of beside the password."""

    time: str
    salt: str
    newsalt: str
    at: float
    """Seconds since the epoch, by our clock."""


class _Signed(NamedTuple):
    credential: Credential
    grant: _Grant
    key: str
    token: str


class _NotRead(DriverError):
    """The machine could not read the command: nothing was done."""

    def __init__(self, said: Refused) -> None:
        super().__init__(str(said))
        self.said = said


class _TokenUnknown(_NotRead):
    """It read the command, and knows its token no more."""


class Access:
    """Sends signed commands to one machine."""

    __slots__ = ("_clock", "_credentials", "_deadline_s", "_endpoint", "_grant", "_note_login",
                 "_opened", "_signed", "_wire")  # fmt: skip

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._wire = context.wire
        self._clock = context.clock
        self._credentials = context.credentials
        self._note_login = context.note_login
        self._deadline_s = context.deadline_s
        self._grant: _Grant | None = None
        self._signed: _Signed | None = None
        self._opened: Credential | None = None

    async def keep_ready(self) -> float:
        """Have a token that lasts, signed already; gives when to look again."""
        if self._left_s() <= TOKEN_LIFE_S - RENEW_AT_S:
            await self._renew(Deadline(self._clock, self._deadline_s))
        self._sign(next(self._candidates()))
        return max(self._left_s() - (TOKEN_LIFE_S - RENEW_AT_S), 1.0)

    async def order(
        self,
        command: str,
        fields: Mapping[str, object],
        expectation: Expectation | None,
        within_s: float,
    ) -> Receipt:
        """Give an order once, under the first password with which the machine can read it."""
        deadline = Deadline(self._clock, within_s)
        if self._left_s() <= 0:
            await self._renew(deadline)
        for credential in self._candidates():
            try:
                return await self._order(command, fields, credential, expectation, deadline)
            except _NotRead as error:
                said = error.said
        return Receipt(
            answer=Answer.REFUSED,
            words=f"{said}; it takes neither the given password nor the factory's"[:200],
            expectation=expectation,
        )

    async def _order(
        self,
        command: str,
        fields: Mapping[str, object],
        credential: Credential,
        expectation: Expectation | None,
        deadline: Deadline,
    ) -> Receipt:
        try:
            return await ordered(self._send(command, fields, credential, deadline), expectation)
        except _TokenUnknown:
            await self._renew(deadline)
        try:
            return await ordered(self._send(command, fields, credential, deadline), expectation)
        except _TokenUnknown as error:
            return Receipt(answer=Answer.REFUSED, words=str(error)[:200], expectation=expectation)

    async def _send(
        self,
        command: str,
        fields: Mapping[str, object],
        credential: Credential,
        deadline: Deadline,
    ) -> str:
        signed = self._sign(credential)
        message = {"token": signed.token, "cmd": command, **fields}
        request = msgspec.json.encode({"enc": 1, "data": cipher.sealed(message, signed.key)})
        if len(request) > cgminer.REQUEST_LIMIT_BYTES:
            allowed = f"requests of at most {cgminer.REQUEST_LIMIT_BYTES} bytes"
            raise OutOfRange(f"a request of {len(request)} bytes", allowed)
        reply = await self._exchange(request, deadline)
        if isinstance(reply.get("enc"), str):
            reply = cgminer.decode(cipher.opened(reply["enc"], signed.key)).reply
            self._opened = credential
            self._note_login(self._endpoint, credential == FACTORY)
        return _words(reply)

    async def _exchange(self, request: bytes, deadline: Deadline) -> dict[str, Any]:
        raw = await self._wire.exchange(
            self._endpoint.address,
            self._endpoint.rpc_port,
            request,
            deadline_s=deadline.left_s(),
            limit_bytes=cgminer.ANSWER_LIMIT_BYTES,
        )
        return cgminer.decode(raw).reply

    # --- the token -------------------------------------------------------------------------

    def _left_s(self) -> float:
        """How long the token lasts; 0 without one, and where our clock was set back."""
        if self._grant is None:
            return 0.0
        age_s = self._clock.now() - self._grant.at
        return max(TOKEN_LIFE_S - age_s, 0.0) if age_s >= 0 else 0.0

    async def _renew(self, deadline: Deadline) -> None:
        reply = await self._exchange(msgspec.json.encode({"cmd": "get_token"}), deadline)
        self._grant = _granted(_checked(reply), self._clock.now())

    def _candidates(self) -> Iterator[Credential]:
        """The one that opened before, then the operator's and the factory's."""
        known = (*self._credentials(self._endpoint), FACTORY)
        first = (self._opened,) if self._opened in known else ()
        yield from dict.fromkeys((*first, *known))

    def _sign(self, credential: Credential) -> _Signed:
        """The token under a password; made once, for it takes a millisecond."""
        grant, held = self._grant, self._signed
        if grant is None:
            raise BadReply("no token")
        if held is None or held.credential != credential or held.grant != grant:
            same = held and held.credential == credential and held.grant.salt == grant.salt
            key = held.key if held and same else cipher.key_of(credential.password, grant.salt)
            token = cipher.sign_of(key, grant.time, grant.newsalt)
            held = self._signed = _Signed(credential, grant, key, token)
        return held


# --- answers ------------------------------------------------------------------------------


def _granted(reply: dict[str, Any], now: float) -> _Grant:
    found = content(reply)
    time, salt, newsalt = (found.get(name) for name in ("time", "salt", "newsalt"))
    if not (isinstance(time, str) and isinstance(salt, str) and isinstance(newsalt, str)):
        raise BadReply("get_token brought no token")
    return _Grant(time[:64], salt[:64], newsalt[:64], now)


def _words(reply: dict[str, Any]) -> str:
    """The machine's words to an order; raises `_NotRead` where it did not even see it."""
    try:
        said = cgminer.status_of(_checked(reply))
    except Refused as error:
        if error.code == TOKEN_UNKNOWN:
            raise _TokenUnknown(error) from None
        if error.code in _UNREAD or "enc json" in error.message:
            raise _NotRead(error) from None
        raise
    return said.message


def _checked(reply: dict[str, Any]) -> dict[str, Any]:
    try:
        return cgminer.checked(reply)
    except AccessDenied as error:
        raise AccessDenied(error.code, f"{error.message[:40]}: {SWITCH_OFF}") from None
