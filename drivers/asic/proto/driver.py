"""Proto Rig (Block): REST pages under `/api/v1`.

Source: the maker's OpenAPI document for the rig (MDK API), as its own clients are generated
from. Identity and hardware are open; what the rig does wants a token that `/auth/login` gives
for the password its owner has set. A rig without a password, and the simulator that the only
public recording is from, answer everything: so it is tried without one too (unverified of rigs).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from drivers.actions import Expectation, Latency, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.proto import orders
from drivers.asic.proto.answers import parse, words_of
from drivers.asic.proto.build import Slow, parse_hardware, parse_identity, parse_target
from drivers.capabilities import PoolSetting
from drivers.errors import AccessDenied, DriverError
from drivers.model import Identity, Sample
from drivers.wire.cgminer import Report
from drivers.wire.deadline import Deadline
from drivers.wire.pages import DENIED, REST_S, Pass, WebClient, decoded

BASE = "/api/v1"
SYSTEM, NETWORK, HARDWARE = f"{BASE}/system", f"{BASE}/network", f"{BASE}/hardware"
MINING, TARGET = f"{BASE}/mining", f"{BASE}/mining/target"
TELEMETRY = f"{BASE}/telemetry?level=miner,hashboard,psu"
POOLS, COOLING, ERRORS = f"{BASE}/pools", f"{BASE}/cooling", f"{BASE}/errors"
LOGIN, LOGOUT = f"{BASE}/auth/login", f"{BASE}/auth/logout"
POLLED = (MINING, TELEMETRY, POOLS, COOLING, ERRORS)
SLOW_EVERY_S = 300.0
NOBODY = Credential("", "")
"""Stands for asking without a token."""


class Proto:
    """A Proto Rig."""

    __slots__ = ("_barred", "_client", "_context", "_id", "_provisional_id", "_slow", "_tokens")
    latencies: ClassVar[Mapping[str, Latency]] = orders.LATENCIES

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._context = context
        self._provisional_id = self._id = endpoint.provisional_id
        self._client = WebClient(endpoint, context, enter=self._enter, factory=(NOBODY,))
        self._slow: Slow | None = None
        self._tokens: dict[str, str] = {}
        self._barred: dict[Credential, float] = {}

    async def identify(self) -> Identity:
        """By MAC from `/network`, else by the control board's serial; both pages are open."""
        report = await self._client.pages((SYSTEM, NETWORK, HARDWARE), self._deadline())
        identity = parse_identity(
            report.replies.get(SYSTEM),
            report.replies.get(NETWORK),
            report.replies.get(HARDWARE),
            self._provisional_id,
        )
        self._id = identity.id
        return identity

    async def read(self) -> Sample:
        """Five pages on one connection; hardware and limits now and then.

        A rig that shows them to nobody still shows its hardware. Raises only where nothing is
        brought.
        """
        deadline = self._deadline()
        try:
            report = await self._client.pages(POLLED, deadline)
        except AccessDenied as error:
            await self._client.json(HARDWARE, deadline)
            report = Report({}, dict.fromkeys(POLLED, error))
        now = self._context.clock.now()
        slow = self._slow
        if slow is None or slow.is_due(now, SLOW_EVERY_S) or not self._is_of(slow, report, now):
            slow = await self._renewed(report, now, deadline)
        return parse(_by_name(report), self._id, now, slow.value if slow else None)

    async def close(self) -> None:
        """Give the token back: the rig blacklists it; never raises."""
        tokens, self._tokens = self._tokens, {}
        if not tokens:
            return
        with contextlib.suppress(DriverError):
            await self._client.send(
                "POST",
                LOGOUT,
                self._deadline(),
                self._client.session,
                {"Content-Type": "application/json"},
                msgspec.json.encode(tokens),
            )
        self._client.forget()

    def refresh(self) -> None:
        """Ask for the slow pages anew next time."""
        self._slow = None

    # --- actions -----------------------------------------------------------------------------

    async def keep_ready(self) -> float:
        """Use the token, or get one."""
        await self._client.json(TARGET, self._deadline())
        return orders.READY_S

    async def pause(self) -> Receipt:
        """Boards go off, the control board stays."""
        return await self._post("/mining/stop", orders.ASLEEP)

    async def resume(self) -> Receipt:
        """Boards go on."""
        return await self._post("/mining/start", orders.AWAKE)

    async def reboot(self) -> Receipt:
        """The whole rig."""
        return await self._post("/system/reboot", orders.BOOTED)

    async def limit_power(self, limit_w: float) -> Receipt:
        """The power target."""
        return await orders.limit_power(self._client, self._context.clock, limit_w)

    async def set_mode(self, mode: str) -> Receipt:
        """The highest rate or the best efficiency."""
        return await orders.set_mode(self._client, self._context.clock, mode)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """The whole list at once."""
        return await orders.set_pools(self._client, self._context.clock, pools)

    async def locate(self, *, on: bool) -> Receipt:
        """Until it is switched off: no time is given with it."""
        return await orders.locate(self._client, self._context.clock, on)

    async def _post(self, path: str, expectation: Expectation) -> Receipt:
        return await orders.post(self._client, self._context.clock, path, expectation)

    # --- what a poll asks --------------------------------------------------------------------

    def _deadline(self) -> Deadline:
        return Deadline(self._context.clock, self._context.deadline_s)

    def _is_of(self, slow: Slow, report: Report, now: float) -> bool:
        return slow.is_of(*words_of(_by_name(report)), now)

    async def _renewed(self, report: Report, now: float, deadline: Deadline) -> Slow | None:
        try:
            pages = await self._client.pages((HARDWARE, TARGET), deadline)
        except DriverError as error:
            report.errors[HARDWARE] = error
            self._slow = None
            return None
        # Without the page of targets nothing is missing: the target itself stands in `mining`.
        report.errors.update({path: each for path, each in pages.errors.items() if path != TARGET})
        rig = parse_hardware(pages.replies.get(HARDWARE))
        rig = parse_target(pages.replies.get(TARGET), rig)
        slow = Slow(rig, now, *words_of(_by_name(report)))
        self._slow = slow if HARDWARE in pages.replies else None
        return slow

    async def _enter(self, client: WebClient, credential: Credential, deadline: Deadline) -> Pass:
        """Log in with a password; the rig has no users. A wrong one is tried once in a while:
        every page would try it again.
        """  # noqa: D205
        if credential == NOBODY:
            return Pass()
        now = self._context.clock.monotonic()
        if now < self._barred.get(credential, now):
            raise AccessDenied(401, "the rig did not take the password a while ago")
        reply = await client.send(
            "POST",
            LOGIN,
            deadline,
            headers={"Content-Type": "application/json"},
            body=msgspec.json.encode({"password": credential.password}),
        )
        if reply.status in DENIED:
            self._barred[credential] = now + REST_S
        if not 200 <= reply.status < 300:
            raise AccessDenied(reply.status, "the rig does not take the password")
        answer = decoded(msgspec.structs.replace(reply, status=200), LOGIN)
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise AccessDenied(reply.status, "the rig gave no token")
        self._tokens = {
            name: word for name, word in answer.items() if name.endswith("_token") and word
        }
        return Pass({"Authorization": f"Bearer {token}"})


def _by_name(report: Report) -> Report:
    """The report with pages by their last name: `mining`, `telemetry`, `mining/target`."""
    return Report(
        {_name(path): page for path, page in report.replies.items()},
        {_name(path): error for path, error in report.errors.items()},
    )


def _name(path: str) -> str:
    return path.removeprefix(f"{BASE}/").partition("?")[0]
