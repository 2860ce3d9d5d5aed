"""How a VNish machine is opened: the password, the token that it gives, and the forms of that."""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.api import Context, Credential, Endpoint
from drivers.asic.vnish.settings import as_object
from drivers.errors import AccessDenied, DriverError, Refused, Unreachable, Unsupported
from drivers.wire.deadline import Deadline
from drivers.wire.pages import DENIED, UNKNOWN, Pass, WebClient, by_digest, decoded

FACTORY_CREDENTIAL = Credential("", "admin")
CGI_CREDENTIAL = Credential("root", "root")
API = "/api/v1/"
AUTH_CHECK = f"{API}auth-check"
SYSTEM_INFO = "/cgi-bin/get_system_info.cgi"
BEARER = "Bearer "
_JSON = {"Content-Type": "application/json"}


async def unlock(client: WebClient, credential: Credential, deadline: Deadline) -> Pass:
    """Get a token for a password; builds differ in whether it goes with `Bearer` or bare."""
    body = msgspec.json.encode({"pw": credential.password})
    reply = await client.send("POST", f"{API}unlock", deadline, headers=_JSON, body=body)
    if reply.status == 400:
        raise AccessDenied(400, "the password is wrong")
    token = as_object(decoded(reply, f"{API}unlock")).get("token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise AccessDenied(reply.status, "no token for the password")
    bearer = Pass({"Authorization": f"{BEARER}{token}"})
    check = await client.send("GET", AUTH_CHECK, deadline, bearer)
    return Pass({"Authorization": token}) if check.status in DENIED else bearer


async def admitted(client: WebClient, deadline: Deadline) -> Pass:
    """A token that is valid now, for a write that has to be told from what is asked before it.

    Raises `AccessDenied` where no password opens.
    """
    await client.request("GET", AUTH_CHECK, deadline)
    if client.session is None:
        raise AccessDenied(401, "the machine gave no token")
    return client.session


async def post(
    client: WebClient, ticket: Pass, name: str, payload: object, deadline: Deadline
) -> str:
    """Write to a page; gives the device's words, raises `Refused` with them where it says no."""
    path = f"{API}{name}"
    headers, body = ({}, None) if payload is None else (_JSON, msgspec.json.encode(payload))
    reply = await client.send("POST", path, deadline, ticket, headers, body)
    if reply.status in DENIED:
        # One client in use sends the token bare, save to `system/`: what is denied was not done.
        reply = await client.send("POST", path, deadline, _other_form(ticket), headers, body)
    if reply.status in DENIED:
        raise AccessDenied(reply.status, f"{path} is closed")
    words = _words(reply.body)
    if reply.status in UNKNOWN:
        raise Unsupported(reply.status, f"no page {path}")
    if not 200 <= reply.status < 300:
        raise Refused(reply.status, words)
    return words


def _other_form(ticket: Pass) -> Pass:
    word = ticket.headers.get("Authorization", "")
    form = word.removeprefix(BEARER) if word.startswith(BEARER) else f"{BEARER}{word}"
    return Pass({"Authorization": form})


def _words(body: bytes) -> str:
    """What the answer says: its error, else itself; success is often without a word."""
    try:
        told = as_object(msgspec.json.decode(body)).get("err")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = None
    said = told if isinstance(told, str) else body.decode("utf-8", "replace")
    return said.strip()[:160] or "accepted without a word"


async def system_page(
    endpoint: Endpoint, context: Context, problem: DriverError, deadline: Deadline
) -> dict[str, Any]:
    """The CGI page of builds without `/api/v1`, empty where there is none either."""
    if isinstance(problem, Unreachable):
        return {}
    client = WebClient(endpoint, context, enter=by_digest, factory=(CGI_CREDENTIAL,))
    try:
        return as_object(await client.json(SYSTEM_INFO, deadline))
    except DriverError:
        return {}


async def lock(client: WebClient, deadline: Deadline) -> None:
    """Give the token back, where there is one."""
    session = client.session
    if session is None:
        return
    client.forget()
    try:
        await client.send("POST", f"{API}lock", deadline, session)
    except DriverError:
        return  # it ends by itself
