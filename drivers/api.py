"""What a driver is: its contract and its surroundings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from drivers.model import Identity, Sample


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """Where a device is spoken to. An address is not an identity."""

    address: str
    rpc_port: int = 4028
    web_port: int = 80
    side_port: int = 8080
    """Where some firmwares keep their API, apart from the web pages."""
    framed_port: int = 4433
    """Where newer firmwares speak in frames: a length, then JSON."""

    @property
    def provisional_id(self) -> str:
        """The id of a miner here that has shown neither MAC nor serial."""
        return f"asic-at-{self.address}"


class Credential(msgspec.Struct, frozen=True):
    """A user and password; never printed."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credential(user={self.user!r}, password=...)"


class Clock(Protocol):
    """Time as drivers and agent see it; tests give their own."""

    def now(self) -> float:
        """Seconds since the Unix epoch (UTC)."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; comparable with the event loop's time."""
        ...


class Memory(Protocol):
    """A small durable store of one device, kept by the agent.

    A driver writes here what it must know again after a restart in mid-action, before
    it does what makes it necessary. `put` returns when the value is on disk; where the disk takes
    nothing it returns all the same, and the value is written as soon as it can be.
    """

    def get(self, key: str) -> bytes | None:
        """The value last put, or None."""
        ...

    async def put(self, key: str, value: bytes) -> None:
        """Keep a value (at most 64 KiB) under a key."""
        ...

    async def forget(self, key: str) -> None:
        """Drop a key; unknown keys are no error."""
        ...


class Wire(Protocol):
    """One request, one answer, one TCP connection."""

    async def exchange(
        self, address: str, port: int, request: bytes, *, deadline_s: float, limit_bytes: int
    ) -> bytes:
        """Send `request` in one write and return what comes until EOF or a NUL byte.

        Raises `Unreachable`, `DeviceTimeout`, `BadReply` (answer over the limit) or
        `NoResources` (ours).
        """
        ...

    async def converse(
        self,
        address: str,
        port: int,
        requests: Sequence[bytes],
        *,
        length_of: Callable[[bytes], int | None],
        deadline_s: float,
        limit_bytes: int,
    ) -> list[bytes]:
        """Ask one thing after the other on one connection, for protocols that say lengths.

        `length_of` tells from the bytes so far how long the whole answer is, None while that
        cannot be seen. Gives at least one answer, fewer than were asked for where the device
        closes early. Raises as `exchange` does.
        """
        ...


class WebReply(msgspec.Struct, frozen=True):
    """An HTTP answer: status, the headers by lower-case name, and the whole body.

    Headers that come several times are one, a line each.
    """

    status: int
    headers: dict[str, str]
    body: bytes


class Login(Protocol):
    """Digest authentication at one server: opaque, made by `Web.digest`.

    It remembers the server's challenge, so that later requests pass at once.
    """


class Web(Protocol):
    """The shared HTTP client."""

    def digest(self, credential: Credential) -> Login:
        """Digest authentication for one device; keep it as long as the device."""
        ...

    async def request(
        self,
        method: str,
        url: str,
        *,
        deadline_s: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        login: Login | None = None,
        limit_bytes: int = 1 << 20,
    ) -> WebReply:
        """Ask a web server; redirections are not followed, cookies not kept.

        Any status is an answer. Raises as `Wire.exchange` does.
        """
        ...


def _unnoted(_endpoint: Endpoint, _factory: bool) -> None:
    """Where nobody counts logins."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a driver is given at birth; it owns none of it."""

    wire: Wire
    web: Web
    clock: Clock
    credentials: Callable[[Endpoint], Sequence[Credential]]
    """What the operator configured for this device, to be tried before the factory's own."""
    memory: Memory
    note_login: Callable[[Endpoint, bool], None] = _unnoted
    """Told of each login that opened, and whether the password was the factory's."""
    deadline_s: float = 5.0
    """How long one whole `read` or one step of `identify` may take."""


@runtime_checkable
class Driver(Protocol):
    """One device. Long-lived; its methods are never called concurrently."""

    async def identify(self) -> Identity:
        """Ask the device who it is, by every means the dialect has."""
        ...

    async def read(self) -> Sample:
        """Read the device once. The reading carries the id given by the last `identify`,
        or the provisional one.
        """  # noqa: D205
        ...

    async def close(self) -> None:
        """Give back what the device side holds (sessions); never raises."""
        ...
