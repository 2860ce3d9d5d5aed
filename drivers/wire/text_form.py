"""The text form of cgminer's API, for clones that answer in it whatever they are asked in.

`STATUS=S,When=1,Code=11,Msg=Summary|SUMMARY,Elapsed=5,MHS av=7|` and a NUL byte. A backslash
stands before each `|`, `,`, `=` and backslash that belongs to a value. Sources: API-README and
api.c; each value stays text.
"""

from __future__ import annotations

import re
from typing import Any

from drivers.errors import BadReply

MARK = "STATUS="
JOINED = "CMD="
PIECES_LIMIT = 20_000

# Possessive, and each piece ends where the next begins: linear whatever comes.
_RECORD = re.compile(r"(?:[^\\|]++|\\.?)++", re.DOTALL)
_PIECE = re.compile(r"(?:[^\\,]++|\\.?)++", re.DOTALL)
_PAIR = re.compile(r"((?:[^\\=]++|\\.?)*+)=(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SECTIONS = {
    "7": "POOLS",
    "9": "DEVS",
    "11": "SUMMARY",
    "22": "VERSION",
    "33": "CONFIG",
    "60": "NOTIFY",
    "69": "DEVDETAILS",
    "70": "STATS",
    "78": "COIN",
}
"""Sections by the code of their STATUS: the records of most begin with no word of their own."""


def is_text_form(answer: str) -> bool:
    """True where an answer begins as only this form does."""
    return answer.lstrip(" \r\n,").startswith((MARK, JOINED))


def read(answer: str) -> dict[str, Any]:
    """The answer as its JSON form would be decoded, with text for all values.

    Raises `BadReply` where it has no STATUS or too many pieces.
    """
    if answer.count(",") + answer.count("|") > PIECES_LIMIT:
        raise BadReply(f"more than {PIECES_LIMIT} pieces", answer.encode("utf-8", "replace"))
    records = [_record(match.group()) for match in _RECORD.finditer(answer.strip(" \r\n\0"))]
    filled = [record for record in records if record]
    reply = _joined(filled) if filled and "CMD" in filled[0] else _reply(filled)
    if not reply:
        raise BadReply("no STATUS in the text form", answer.encode("utf-8", "replace"))
    return reply


def _record(words: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for match in _PIECE.finditer(words):
        pair = _PAIR.fullmatch(match.group())
        if pair:
            found.setdefault(_plain(pair[1]).strip(), _plain(pair[2]))
    return found


def _plain(words: str) -> str:
    return _ESCAPED.sub(r"\1", words) if "\\" in words else words


def _reply(records: list[dict[str, Any]]) -> dict[str, Any]:
    if not records or "STATUS" not in records[0]:
        return {}
    status, *rest = records
    reply: dict[str, Any] = {"STATUS": [status]}
    if rest:
        reply[_SECTIONS.get(str(status.get("Code")), "DATA")] = rest
    return reply


def _joined(records: list[dict[str, Any]]) -> dict[str, Any]:
    parts: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if "CMD" in record:
            part = parts.setdefault(str(record["CMD"]), [])
        else:
            part.append(record)
    return {name: [_reply(part)] for name, part in parts.items() if part}
