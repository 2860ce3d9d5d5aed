"""Recorded or written answers of a miner, behind the interfaces that drivers ask through.

A recording is an object with any of
`rpc` (command, or `command|parameter`, to answer), `rpc_http` (path to body: HTTP on the RPC
port), `web` and `side` (`/path`, or `POST /path`, to body: the two web ports), `framed` (as
`rpc`, for the framed port), `realm` (digest authentication on `web`), `joins` (true: the RPC
joins commands), `closed` (paths that need a session header: they answer 401 without one).
An answer that is a string is sent as it is, anything else as JSON. A port without a section
refuses connections; what a section lacks is code 14 on the RPC and status 404 on the web.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from drivers.api import Context, Credential, Endpoint, WebReply
from drivers.errors import Unreachable, WrongProtocol
from drivers.probe import Finding, probe

NOW = 1_790_000_000.0
ADDRESS = "10.0.0.1"
UNKNOWN = {"STATUS": [{"STATUS": "E", "Code": 14, "Msg": "Invalid command"}]}


class Replay:
    """One recorded machine: wire, web, clock and memory of a `Context` in one."""

    def __init__(self, recording: Mapping[str, Any]) -> None:
        self.recording = recording
        self.asked: list[str] = []
        """What was asked, in order: `rpc version`, `web GET /`, `framed get.device.info`."""
        self.connections = 0
        self.at = NOW
        self.kept: dict[str, bytes] = {}
        self.endpoint = Endpoint(ADDRESS)

    def context(self, *credentials: Credential) -> Context:
        return Context(
            wire=self, web=self, clock=self, credentials=lambda _: credentials, memory=self
        )

    async def probe(self) -> Finding:
        """Find out what it is, as discovery would."""
        return await probe(self.endpoint, self.context())

    # --- clock and memory ------------------------------------------------------------------

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self.kept[key] = value

    async def forget(self, key: str) -> None:
        self.kept.pop(key, None)

    # --- wire --------------------------------------------------------------------------------

    async def exchange(self, address: str, port: int, request: bytes, **_: Any) -> bytes:
        self.connections += 1
        if "rpc_http" in self.recording and port == self.endpoint.rpc_port:
            raise WrongProtocol("an HTTP server answers", b"HTTP/1.1 400 Bad Request")
        if "rpc" not in self.recording or port != self.endpoint.rpc_port:
            raise Unreachable(f"{address}:{port}: Connection refused")
        asked = json.loads(request)
        command = asked.get("command") or asked.get("cmd")
        self.asked.append(f"rpc {command}")
        if "+" in command and self.recording.get("joins"):
            names = command.split("+")
            return self.joined(names)
        return as_bytes(self._rpc(command, asked.get("parameter")))

    def joined(self, names: list[str]) -> bytes:
        """The nested form of several commands' answers."""
        return as_bytes({name: [self._rpc(name, None)] for name in names})

    def _rpc(self, command: str, parameter: Any) -> Any:
        answers = self.recording["rpc"]
        return answers.get(f"{command}|{parameter}", answers.get(command, UNKNOWN))

    async def converse(
        self,
        address: str,
        port: int,
        requests: Sequence[bytes],
        *,
        length_of: Callable[[bytes], int | None],
        **_: Any,
    ) -> list[bytes]:
        self.connections += 1
        if "framed" not in self.recording or port != self.endpoint.framed_port:
            raise Unreachable(f"{address}:{port}: Connection refused")
        answers = []
        for request in requests:
            asked = json.loads(request[4:])
            command, parameter = asked["cmd"], asked.get("param")
            self.asked.append(f"framed {command}" + (f"|{parameter}" if parameter else ""))
            found = self.recording["framed"]
            unknown = {"code": -2, "msg": "invalid command", "desc": command}
            body = as_bytes(found.get(f"{command}|{parameter}", found.get(command, unknown)))
            frame = len(body).to_bytes(4, "little") + body
            assert length_of(frame) == len(frame)
            answers.append(frame)
        return answers

    # --- web ---------------------------------------------------------------------------------

    def digest(self, credential: Credential) -> Any:
        return credential

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        login: Any = None,
        **_: Any,
    ) -> WebReply:
        self.connections += 1
        parts = urlsplit(url)
        section = {
            self.endpoint.web_port: "web",
            self.endpoint.side_port: "side",
            self.endpoint.rpc_port: "rpc_http",
        }[parts.port or 80]
        if section not in self.recording:
            raise Unreachable(f"{url}: Connection refused")
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        self.asked.append(f"{section} {method} {path}")
        realm = self.recording.get("realm")
        if realm and section == "web" and login is None:
            return WebReply(401, {"www-authenticate": f'Digest realm="{realm}", qop="auth"'}, b"")
        if path in self.recording.get("closed", ()) and not headers:
            return WebReply(401, {}, b"")
        return self._page(section, method, path)

    def _page(self, section: str, method: str, path: str) -> WebReply:
        pages = self.recording[section]
        plain = path.partition("?")[0]
        names = [f"{method} {path}", f"{method} {plain}"]
        names += [path, plain] if method == "GET" else []
        found = next((pages[name] for name in names if name in pages), None)
        if found is None:
            return WebReply(404, {}, b"not found")
        body = as_bytes(found)
        packed = {"content-encoding": "gzip"} if body.startswith(b"\x1f\x8b") else {}
        return WebReply(200, packed, body)


def as_bytes(answer: Any) -> bytes:
    if isinstance(answer, bytes):
        return answer
    return (
        answer.encode("utf-8", "surrogatepass")
        if isinstance(answer, str)
        else json.dumps(answer).encode()
    )
