"""A lenient JSON reader for what firmwares send when they fail at JSON.

It works by tokens outside strings, so that no word inside a string is ever touched:
replacing `nan` in the text once turned the pool `poolbinance` into `poolbi0ce`
(UpstreamData/pyasic#212). Malformations it reads, all from real devices:

- a comma too many (`,}`, `[,{`, a leading `,`) or missing (`}{`, `"a""b"`);
- raw newlines and bad escapes inside strings; `nan` and `inf` as bare words (read as null);
- a list written like a dict (`["329":"date"]`, read as a list of one-pair objects);
- an answer that begins in the middle of an object, or is cut off anywhere.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from drivers.errors import BadReply

MAX_DEPTH = 32
REPAIR_LIMIT_CHARS = 128 * 1024
"""No longer text is repaired: bounds what a hostile device costs; see docs/measurements.md."""

# Possessive, and a string that nothing closes reaches to the end: hostile input can neither make
# an expression backtrack nor make it start over in every place.
_TOKEN = re.compile(
    r'[\s\x00]++|("(?:[^"\\]++|\\.?)*+"?)|([{}\[\]:,])|([^\s\x00{}\[\]:,"]++)', re.DOTALL
)
# The malformations of healthy machines that speak so at every poll are mended in one pass, and
# the text is read strictly again: reading leniently costs five times as much CPU.
_FLAW = re.compile(
    r'(?P<string>"(?:[^"\\]++|\\.?)*+"?)(?P<glued>\s*(?="))?'  # "a""b"
    r"|(?P<between>\}\s*(?=\{))"  # }{
    r"|(?P<extra>,\s*(?=[}\],]))"  # ,} and ,]
    r"|(?P<opening>[\[{]\s*,)"  # [,{
    r"|(?P<nothing>(?<![\w.])[-+]?(?:nan|inf(?:inity)?)(?![\w.]))",
    re.DOTALL | re.IGNORECASE,
)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_NOT_A_NUMBER = {"nan", "-nan", "+nan", "inf", "-inf", "+inf", "infinity", "-infinity"}
_END = ""


def mend(text: str) -> str:
    """Mend missing and superfluous commas, `nan` and `inf`, everywhere outside strings."""
    return _FLAW.sub(_mended, text)


def _mended(flaw: re.Match[str]) -> str:
    kind = flaw.lastgroup
    if kind == "string":
        return flaw.group()
    if kind == "glued":
        return flaw.group("string") + ","
    return {"between": "},", "extra": "", "opening": flaw.group()[0], "nothing": "null"}[str(kind)]


def read_lenient(text: str) -> tuple[dict[str, Any], bool]:
    """Read one object; return it and whether it was cut off.

    Raises `BadReply` where no object can be made out.
    """
    reader = _Reader(text)
    found = reader.whole()
    if not found:
        raise BadReply("no object in the answer", text.encode("utf-8", "replace"))
    return found, reader.cut


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._pieces = [match.group() for match in _TOKEN.finditer(text) if match.lastindex]
        self._at = 0
        self.cut = False

    def whole(self) -> dict[str, Any]:
        while self._peek() == ",":
            self._at += 1
        if self._peek() != "{" and not self._starts_pair():
            return {}
        found: dict[str, Any] = {}
        while self._peek() == "{" or self._starts_pair():
            if self._peek() == "{":
                self._at += 1
            for key, value in self._object(0).items():
                found.setdefault(key, value)  # of two objects glued together the first has the word
        return found

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._pieces[at] if at < len(self._pieces) else _END

    def _starts_pair(self) -> bool:
        return self._peek().startswith('"') and self._peek(1) == ":"

    def _is_last(self) -> bool:
        return self._at == len(self._pieces)

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while True:
            piece = self._peek()
            if piece == ",":
                self._at += 1
            elif piece == "}":
                self._at += 1
                return found
            elif piece == "]":  # the object was never closed
                return found
            elif piece == _END or self._peek(1) == _END:
                self._at = len(self._pieces)
                self.cut = True
                return found
            elif self._starts_pair():
                self._pair(found, depth)
            else:
                self._refuse(piece)

    def _pair(self, into: dict[str, Any], depth: int) -> None:
        key = _string(self._peek())
        self._at += 2
        if self._peek() in {",", "}", "]"}:
            into[key] = None  # `"key":,` says that there is nothing
        elif self._peek() == _END:
            self.cut = True
        else:
            keep, value = self._value(depth + 1)
            if keep:
                into[key] = value

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while True:
            piece = self._peek()
            if piece == ",":
                self._at += 1
            elif piece == "]":
                self._at += 1
                return found
            elif piece == "}":  # the list was never closed
                return found
            elif piece == _END:
                self.cut = True
                return found
            elif self._starts_pair():
                pair: dict[str, Any] = {}
                self._pair(pair, depth)
                found.append(pair)
            else:
                keep, value = self._value(depth + 1)
                if keep:
                    found.append(value)

    def _value(self, depth: int) -> tuple[bool, Any]:
        """The next value, and whether it can be trusted to be whole."""
        if depth > MAX_DEPTH:
            raise BadReply(f"nested deeper than {MAX_DEPTH}", self._text.encode("utf-8", "replace"))
        piece = self._peek()
        self._at += 1
        if piece == "{":
            return True, self._object(depth)
        if piece == "[":
            return True, self._array(depth)
        if self._is_last():  # the last thing before the cut may itself be cut
            self.cut = True
            return False, None
        if piece.startswith('"'):
            return True, _string(piece)
        return True, self._word(piece)

    def _word(self, piece: str) -> Any:
        if piece in _WORDS:
            return _WORDS[piece]
        if piece.lower() in _NOT_A_NUMBER:
            return None
        try:
            return int(piece) if piece.lstrip("+-").isdigit() and len(piece) < 25 else float(piece)
        except ValueError:
            return self._refuse(piece)

    def _refuse(self, piece: str) -> Any:
        raise BadReply(f"unreadable at {piece[:20]!a}", self._text.encode("utf-8", "replace"))


def _string(piece: str) -> str:
    try:
        found = json.loads(piece, strict=False)
    except ValueError:
        found = piece.strip('"').replace('\\"', '"')
    # Half a surrogate pair cannot be encoded again.
    return str(found).encode("utf-8", "replace").decode()


PATCHES = 4
_AT_BYTE = re.compile(r"\(byte (\d+)\)")


def patched(raw: bytes) -> Any:
    """Decode an answer with up to a few commas missing or too many, at the places where the
    decoder itself stumbled; None where that is not what is wrong.

    Healthy machines glue `}{` at every poll: this costs them a second decoding, where `mend` looks
    at every token.
    """  # noqa: D205
    for _ in range(PATCHES + 1):
        try:
            return msgspec.json.decode(raw)
        except (UnicodeDecodeError, RecursionError):
            return None
        except msgspec.DecodeError as error:
            better = _patch(raw, str(error))
        if better is None:
            return None
        raw = better
    return None


def _patch(raw: bytes, problem: str) -> bytes | None:
    found = _AT_BYTE.search(problem)
    at = int(found[1]) if found else len(raw)
    if "trailing comma" in problem:
        comma = raw.rfind(b",", 0, at)
        return raw[:comma] + raw[comma + 1 :]
    if "expected ','" in problem and raw[at : at + 1] in (b"{", b'"'):
        return raw[:at] + b"," + raw[at:]
    return None
