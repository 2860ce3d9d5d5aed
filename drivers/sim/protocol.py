"""cgminer's API protocol on the server's side: requests, status lines, joined and text forms.

Follows what api.c of cgminer 4 does, quirks included; no sockets here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

REQUEST_BYTES = 4095
"""The server receives once, at most this much, and answers what it got."""

Row = dict[str, Any]


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request as the server understood it; `error` is the code it must answer at once."""

    json: bool
    command: str = ""
    parameter: str | None = None
    new_api: bool = False
    error: int | None = None


class Section(msgspec.Struct, frozen=True):
    """One command's answer: its status and, where it has one, a named list of rows.

    `headed` says how the text form begins a row: with the name of the section
    (`SUMMARY,Elapsed=..`) or with the row's own number (`POOL=0,..`).
    """

    status: Row
    name: str | None = None
    rows: tuple[Row, ...] = ()
    headed: bool = True


# code -> severity and message, as api.c has them; the messages' `%` become `{}`.
MESSAGES: dict[int, tuple[str, str]] = {
    1: ("E", "Invalid GPU id {} - range is 0 - {}"),
    7: ("S", "{} Pool(s)"),
    9: ("S", "{}"),
    11: ("S", "Summary"),
    14: ("E", "Invalid command"),
    15: ("E", "Missing device id parameter"),
    17: ("S", "GPU{}"),
    20: ("S", "GPU count"),
    22: ("S", "{} versions"),
    23: ("E", "Invalid JSON"),
    24: ("E", "Missing JSON '{}'"),
    33: ("S", "{} config"),
    45: ("E", "Access denied to '{}' command"),
    46: ("S", "Privileged access OK"),
    57: ("S", "PGA{}"),
    58: ("E", "Invalid PGA id {} - range is 0 - {}"),
    59: ("S", "PGA count"),
    60: ("S", "Notify"),
    69: ("S", "Device Details"),
    70: ("S", "{} stats"),
    71: ("E", "Missing check cmd"),
    72: ("S", "Check command"),
    78: ("S", "{} coin"),
    88: ("I", "No USB Statistics"),
    104: ("S", "ASC count"),
    106: ("S", "ASC{}"),
    107: ("E", "Invalid ASC id {} - range is 0 - {}"),
}


def parse_request(data: bytes) -> Request:
    """What the server makes of the bytes of one `recv`; never raises."""
    if data[:1] != b"{":
        # C strings end at the first NUL.
        text = data.split(b"\0", 1)[0].decode("utf-8", "replace")
        command, bar, parameter = text.partition("|")
        return Request(json=False, command=command, parameter=parameter if bar else None)
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return Request(json=True, error=23)
    if "command" not in body:
        return Request(json=True, error=24)
    if not isinstance(body["command"], str):
        return Request(json=True, error=14)
    return Request(
        json=True,
        command=body["command"],
        parameter=_parameter(body.get("parameter")),
        new_api=body.get("new_api") is True,
    )


def _parameter(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return None  # to jansson a boolean is no integer
    if isinstance(value, int):
        return str(value)
    return f"{value:f}" if isinstance(value, float) else None


def status(code: int, when: float, description: str, *words: object) -> Row:
    """The status of an answer; a code that api.c does not know is an error of ours."""
    severity, template = MESSAGES[code]
    row: Row = {"STATUS": severity, "When": int(when), "Code": code, "Msg": template.format(*words)}
    if description:
        row["Description"] = description
    return row


def split_joined(command: str) -> list[str]:
    """The names of a joined request, without the empty ones and those asked before."""
    return list(dict.fromkeys(name for name in command.split("+") if name))


def as_json(section: Section) -> Row:
    """One command's answer as a JSON object."""
    body: Row = {"STATUS": [section.status]}
    if section.name:
        body[section.name] = list(section.rows)
    body["id"] = 1
    return body


def encode_json(section: Section) -> bytes:
    """The flat form: one command's answer and the closing NUL."""
    return msgspec.json.encode(as_json(section)) + b"\0"


def encode_joined_json(sections: Mapping[str, Section]) -> bytes:
    """The nested form: each command's answer in a list of one, under its name."""
    body: Row = {name: [as_json(section)] for name, section in sections.items()}
    body["id"] = 1
    return msgspec.json.encode(body) + b"\0"


def encode_text(section: Section) -> bytes:
    """The text form: `STATUS=S,..|SUMMARY,Elapsed=..|` and the closing NUL."""
    return _text(section).encode("utf-8", "replace") + b"\0"


def encode_joined_text(sections: Mapping[str, Section]) -> bytes:
    """The text form of a joined request: each answer behind `CMD=name|`."""
    text = "".join(f"CMD={_escape(name)}|{_text(s)}" for name, s in sections.items())
    return text.encode("utf-8", "replace") + b"\0"


def _text(section: Section) -> str:
    head = f"{section.name}," if section.headed else ""
    rows = "".join(f"{head}{_pairs(row.items())}|" for row in section.rows)
    return f"{_pairs(section.status.items())}|{rows}"


def _pairs(items: Iterable[tuple[str, Any]]) -> str:
    return ",".join(f"{name}={_plain(name, value)}" for name, value in items)


def _plain(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.{_digits(name)}f}"
    return _escape(str(value))


def _digits(name: str) -> int:
    # print_data: differences of formats by kind of value
    if name.endswith("%") or name == "Total MH":
        return 4
    return 8 if name.startswith("Difficulty") or name.endswith("Difficulty") else 2


def _escape(text: str) -> str:
    for special in "\\|,=":
        text = text.replace(special, "\\" + special)
    return text
