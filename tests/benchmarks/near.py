"""A simulated site without sockets: the real drivers, asking machines in the same process.

Time stands still but for what the benchmark adds, so that hours of polls take seconds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from drivers.api import Context, Credential, Endpoint, WebReply
from drivers.errors import DriverError, Unreachable
from drivers.model import Reading
from drivers.probe import Finding, probe
from drivers.sim import Site
from drivers.sim.face import Ask, Web
from drivers.sim.faces import face_of
from drivers.sim.machine import Machine
from drivers.sim.models import load_models
from drivers.sim.server import respond_live

START = 1_790_000_000.0


class NearSite:
    """Wire, web, clock and memory of the drivers' `Context` in one, over a `Site`."""

    def __init__(self, count: int, *, every_type: bool, seed: int = 1) -> None:
        self.at = START
        mix = {name: model.share or 1.0 for name, model in load_models().items()}
        self.site = Site(
            seed, "127.80.0.0/16", count, mix=mix if every_type else None, clock=self.now
        )
        self.found: list[Finding] = []

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def discover(self) -> None:
        """Find a driver for every machine."""
        for address in self.site.addresses():
            with contextlib.suppress(DriverError):
                self.found.append(await probe(Endpoint(address), self._context()))

    def _context(self) -> Context:
        return Context(wire=self, web=self, clock=self, credentials=lambda _: (), memory=_Memory())

    async def read(self, finding: Finding, at: float) -> Reading:
        """One poll of one machine."""
        self.at = at
        return (await finding.driver.read()).reading

    def delay_s(self, finding: Finding) -> float:
        """How long this machine thinks before it answers."""
        return self._machine(finding.endpoint.address).delay_s

    def _machine(self, address: str) -> Machine:
        machine = self.site.at(address)
        if machine is None:
            raise Unreachable(f"{address}: nobody there")
        return machine

    # --- wire --------------------------------------------------------------------------------

    async def exchange(self, address: str, port: int, request: bytes, **_: Any) -> bytes:
        machine = self._machine(address)
        if not face_of(machine.model.dialect).listens_on_rpc:
            raise Unreachable(f"{address}:{port}: Connection refused")
        return respond_live(machine, request, self.at).body.split(b"\0", 1)[0]

    async def converse(
        self,
        address: str,
        port: int,
        requests: Sequence[bytes],
        *,
        length_of: Callable[[bytes], int | None],
        **_: Any,
    ) -> list[bytes]:
        machine = self._machine(address)
        framed = face_of(machine.model.dialect).framed
        if framed is None:
            raise Unreachable(f"{address}:{port}: Connection refused")
        bodies = [
            msgspec.json.encode(framed(machine, json.loads(request[4:]), machine.at(self.at)))
            for request in requests
        ]
        return [len(body).to_bytes(4, "little") + body for body in bodies]

    # --- web ---------------------------------------------------------------------------------

    def digest(self, credential: Credential) -> Any:
        return credential

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        login: Any = None,
        **_: Any,
    ) -> WebReply:
        parts = urlsplit(url)
        machine = self._machine(str(parts.hostname))
        web = self._web(machine, parts.port or 80)
        if web is None:
            raise Unreachable(f"{url}: Connection refused")
        if web.realm and login is None:
            return WebReply(
                401, {"www-authenticate": f'Digest realm="{web.realm}", qop="auth"'}, b""
            )
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        page = web.page(
            machine, Ask(method, target, "HTTP/1.1", lower, body or b""), machine.at(self.at)
        )
        shown = {name.lower(): value for name, value in page.headers}
        return WebReply(page.status.value, {"content-type": page.kind, **shown}, page.body)

    @staticmethod
    def _web(machine: Machine, port: int) -> Web | None:
        face, ports = face_of(machine.model.dialect), Endpoint("")
        return {
            ports.web_port: face.web,
            ports.side_port: face.side,
            ports.rpc_port: face.http_on_rpc,
        }.get(port)


class _Memory:
    """A driver's memory, which no poll needs."""

    def get(self, key: str) -> bytes | None:
        return None

    async def put(self, key: str, value: bytes) -> None: ...

    async def forget(self, key: str) -> None: ...
