"""Braiins OS: BOSminer on port 4028, and GraphQL with LuCI or, from 25.07 on, REST.

Traps kept: joined commands, and `pause` without a login; `Not ready` while booting; a question of
GraphQL that holds one field the build does not know is refused whole, and an order wants a login;
LuCI shows its form with status 200 until one logs in; REST's token goes bare into `Authorization`;
its pages are status 412 while BOSminer boots.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec

from drivers.sim.answers import Reply
from drivers.sim.dialects.braiins_orders import BY_RPC, mutate, write
from drivers.sim.dialects.braiins_rest import PAGES
from drivers.sim.dialects.braiins_rows import BOOT_S, COMMANDS, tree
from drivers.sim.face import NOT_FOUND, UNAUTHORIZED, Ask, Face, Page, Web, html_page, json_page
from drivers.sim.machine import Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row, parse_request, split_joined

API = "/api/v1/"
SESSION_S = 3600.0
FRONT_PAGE = "<html><head><title>Braiins OS</title></head><body></body></html>"
LAN = "/cgi-bin/luci/admin/network/iface_status/lan"
_RATED = frozenset({"summary"})
_WORDS = re.compile(r"[A-Za-z0-9_]+|[{}]")
_WHILE_BOOTING = frozenset(
    {"miner/details", "actions/locate", "actions/reboot", "configuration/constraints"}
)


# --- port 4028 ---------------------------------------------------------------------------------


def respond(machine: Machine, data: bytes, at: float) -> Reply:
    """Answer a request; several commands may be joined."""
    request, now = parse_request(data), machine.at(at)
    if request.error is not None:
        return _reply(_answered(machine, now, -request.error, "Invalid JSON"))
    if "+" in request.command:
        names = split_joined(request.command)
        body: Row = {name: [_answer(machine, now, name)] for name in names}
        return _reply(body | {"id": 1}, request.command, now)
    if request.command in BY_RPC and now.uptime_s >= BOOT_S:
        return _ordered(machine, now, request.command)
    return _reply(_answer(machine, now, request.command), request.command, now)


def _ordered(machine: Machine, now: Snapshot, name: str) -> Reply:
    change, code, words = BY_RPC[name]
    heard = machine.hear(name, change, now.now, after_s=3.0)
    if not heard.answers:
        return Reply(b"", name, silent=True)
    if not heard.consents:
        return _reply(_answered(machine, now, -1, f"{name} failed"), name)
    return _reply(_answered(machine, now, code, words), name)


def _reply(body: Row, command: str = "", now: Snapshot | None = None) -> Reply:
    rated = now is not None and bool(_RATED & set(command.split("+")))
    return Reply(
        body=msgspec.json.encode(body) + b"\0",
        command=command,
        ghs=now.ghs_5s if rated and now else None,
        elapsed=now.uptime_s if rated and now else None,
    )


def _answer(machine: Machine, now: Snapshot, name: str) -> Row:
    made = COMMANDS.get(name)
    if made is None:
        return _answered(machine, now, -14, "Invalid command")
    if name != "version" and now.uptime_s < BOOT_S:
        return _answered(machine, now, -1, "Not ready")
    code, words, sections = made(machine, now)
    return _answered(machine, now, code, words) | sections


def _answered(machine: Machine, now: Snapshot, code: int, words: str) -> Row:
    """A status; an error where the code is below 0."""
    status = {
        "STATUS": "S" if code > 0 else "E",
        "When": int(now.now),
        "Code": abs(code),
        "Msg": words,
        "Description": machine.model.description,
    }
    return {"STATUS": [status], "id": 1}


# --- GraphQL and LuCI --------------------------------------------------------------------------


def _page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if ask.path == "/":
        return html_page(FRONT_PAGE)
    if ask.path == "/graphql" and ask.method == "POST":
        return _graph(machine, ask, now)
    if ask.path == "/cgi-bin/luci" and ask.method == "POST":
        return _log_in_to_luci(machine, ask, now)
    if ask.path == LAN:
        if not _has_cookie(machine, ask, now):
            return html_page("<html><form>luci_username luci_password</form></html>")
        return json_page([{"ifname": "eth0", "macaddr": machine.mac, "proto": "dhcp"}])
    return NOT_FOUND


def _graph(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    body = ask.json()
    question = body.get("query") if isinstance(body, dict) else None
    question = question if isinstance(question, str) else ""
    variables = body.get("variables") or {} if isinstance(body, dict) else {}
    if "login(" in question:
        return _log_in_to_graph(machine, variables, now)
    if question.startswith("mutation"):
        if not _has_cookie(machine, ask, now):
            return json_page({"data": None, "errors": [{"message": "User not logged in"}]})
        return mutate(machine, question, variables, now)
    if "__typename" in question:
        return json_page({"data": {"__typename": "QueryRoot"}})
    wanted = _selection(_WORDS.findall(question))
    unknown: list[str] = []
    data = _projected(tree(machine, now), wanted, unknown)
    if unknown:
        words = [{"message": f'Unknown field "{name}"'} for name in unknown]
        return json_page({"data": None, "errors": words})
    return json_page({"data": data})


def _log_in_to_graph(machine: Machine, given: Row, now: Snapshot) -> Page:
    if (given.get("username"), given.get("password")) != machine.credential:
        return json_page({"data": {"auth": {"login": {"message": "Invalid credentials"}}}})
    cookie = ("Set-Cookie", f"session_id={_open_session(machine, now)}; path=/; HttpOnly")
    page = json_page({"data": {"auth": {"login": {"void": ""}}}})
    return msgspec.structs.replace(page, headers=(cookie,))


def _selection(words: list[str]) -> Row:
    """The fields of a question, as nested objects."""
    top: Row = {}
    stack: list[Row] = [top]
    last: Row = top
    for word in words[1:-1]:
        if word == "{":
            stack.append(last)
        elif word == "}":
            stack.pop()
        else:
            last = stack[-1].setdefault(word, {})
    return top


def _projected(value: Any, wanted: Row, unknown: list[str]) -> Any:
    if isinstance(value, list):
        return [_projected(each, wanted, unknown) for each in value]
    if not wanted or not isinstance(value, dict):
        return value
    unknown += [name for name in wanted if name not in value and name not in unknown]
    found = {name: inner for name, inner in wanted.items() if name in value}
    return {name: _projected(value[name], inner, unknown) for name, inner in found.items()}


def _log_in_to_luci(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    given = (ask.form.get("luci_username"), ask.form.get("luci_password"))
    if given != machine.credential:
        return html_page("<html><form>Invalid username and/or password</form></html>")
    cookie = ("Set-Cookie", f"session_id={_open_session(machine, now)}; path=/; HttpOnly")
    return Page(HTTPStatus.FOUND, headers=(cookie, ("Location", "/cgi-bin/luci")))


def _has_cookie(machine: Machine, ask: Ask, now: Snapshot) -> bool:
    return _is_open(machine, ask.headers.get("cookie", "").removeprefix("session_id="), now)


# --- REST --------------------------------------------------------------------------------------


def _rest_page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if ask.path == "/":
        return html_page(FRONT_PAGE)
    if not ask.path.startswith(API):
        return NOT_FOUND
    name = ask.path.removeprefix(API)
    if name == "auth/login" and ask.method == "POST":
        return _log_in(machine, ask, now)
    if name == "version":
        return json_page({"major": 1, "minor": 7, "patch": 0})
    return _closed_page(machine, ask, now, name)


def _closed_page(machine: Machine, ask: Ask, now: Snapshot, name: str) -> Page:
    if ask.method == "GET" and name not in PAGES:
        return NOT_FOUND
    if not _is_open(machine, ask.headers.get("authorization", ""), now):
        return UNAUTHORIZED
    if now.uptime_s < BOOT_S and name not in _WHILE_BOOTING:
        return Page(HTTPStatus.PRECONDITION_FAILED, b"BOSminer is not running")
    if ask.method != "GET":
        return write(machine, ask, now, name)
    return json_page(PAGES[name](machine, now))


def _log_in(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    body = ask.json()
    user, password = machine.credential
    if body != {"username": user, "password": password}:
        return UNAUTHORIZED
    return json_page({"timeout_s": int(SESSION_S), "token": _open_session(machine, now)})


def _open_session(machine: Machine, now: Snapshot) -> str:
    token = f"{machine.miner_id}{len(machine.sessions)}"
    machine.sessions[token] = now.now
    return token


def _is_open(machine: Machine, token: str, now: Snapshot) -> bool:
    """Sessions end after an hour without use."""
    used_at = machine.sessions.get(token)
    if used_at is None or not 0 <= now.now - used_at <= SESSION_S:
        return False
    machine.sessions[token] = now.now
    return True


FACE = Face(rpc=respond, web=Web(_page, server="nginx"))
REST = Face(rpc=respond, web=Web(_rest_page, server="nginx"), polled="web")
