"""How Goldshell's web side lets somebody in: a token, kept for ever.

`GET /user/login?username&password&cipher` gives `{"JWT Token": ..}`. Older firmware takes the
password as it is; 2.x wants it enciphered with AES-128-CBC, a fixed key of sixteen `!`, no
vector, zeros as padding (the web page's own code does so; the password does not protect much).
A wrong password is answered with status 200 and a code. The header is `Authorization: Bearer`.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from drivers.api import Credential, WebReply
from drivers.errors import AccessDenied, DriverError
from drivers.wire.deadline import Deadline
from drivers.wire.pages import Pass, WebClient

FACTORY = (Credential("admin", "123456789"),)
_KEY = b"!" * 16
_BLOCK = 16
_TOKEN_LIMIT = 4096


async def enter(client: WebClient, credential: Credential, deadline: Deadline) -> Pass:
    """Log in with a password as it is, else enciphered; raises `AccessDenied`."""
    ways = ((credential.password, "false"), (enciphered(credential.password), "true"))
    for password, cipher in ways:
        path = (
            f"/user/login?username={quote(credential.user, safe='')}"
            f"&password={quote(password, safe='')}&cipher={cipher}"
        )
        try:
            token = _token(await client.send("GET", path, deadline))
        except DriverError as error:
            error.args = (str(error).replace(path, "/user/login"),)  # the password is in the path
            raise
        if token:
            return Pass(headers={"Authorization": f"Bearer {token}"})
    raise AccessDenied(401, f"the password of {credential.user} opens nothing")


def _token(reply: WebReply) -> str | None:
    if reply.status != 200:
        return None
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    token = found.get("JWT Token") if isinstance(found, dict) else None
    if not isinstance(token, str) or not 0 < len(token) <= _TOKEN_LIMIT:
        return None
    return token if token.isascii() and token.isprintable() else None


def enciphered(password: str) -> str:
    """A password as the login page sends it, in hex."""
    raw = password.encode()
    raw += bytes(-len(raw) % _BLOCK)
    before, sent = bytes(_BLOCK), b""
    for at in range(0, len(raw), _BLOCK):
        before = _encrypt(bytes(a ^ b for a, b in zip(raw[at : at + _BLOCK], before, strict=True)))
        sent += before
    return sent.hex()


# --- AES-128 (FIPS 197), encryption of one block; only used at a login -------------------------


def _double(value: int) -> int:
    value <<= 1
    return value ^ 0x11B if value & 0x100 else value


def _make_box() -> bytes:
    box, one, inverse = bytearray(256), 1, 1
    while True:
        one ^= _double(one)  # times 3
        for shift in (1, 2, 4):  # divided by 3
            inverse ^= inverse << shift
        inverse &= 0xFF
        inverse ^= 0x09 if inverse & 0x80 else 0
        spread = inverse
        for turn in (1, 2, 3, 4):
            spread ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF
        box[one] = spread ^ 0x63
        if one == 1:
            break
    box[0] = 0x63
    return bytes(box)


_BOX = _make_box()


def _round_keys(key: bytes) -> list[bytes]:
    words = [key[at : at + 4] for at in range(0, 16, 4)]
    constant = 1
    for at in range(4, 44):
        word = words[-1]
        if at % 4 == 0:
            word = bytes(_BOX[byte] for byte in word[1:] + word[:1])
            word = bytes((word[0] ^ constant,)) + word[1:]
            constant = _double(constant)
        words.append(bytes(a ^ b for a, b in zip(words[at - 4], word, strict=True)))
    return [b"".join(words[at : at + 4]) for at in range(0, 44, 4)]


def _encrypt(block: bytes) -> bytes:
    first, *rest = _round_keys(_KEY)
    state = bytes(a ^ b for a, b in zip(block, first, strict=True))
    for at, key in enumerate(rest, 1):
        # Substitution, and the rows shifted: byte r of column c comes from column c + r.
        state = bytes(
            _BOX[state[(4 * (col + row) + row) % 16]] for col in range(4) for row in range(4)
        )
        if at < len(rest):
            state = b"".join(_mixed(state[col : col + 4]) for col in range(0, 16, 4))
        state = bytes(a ^ b for a, b in zip(state, key, strict=True))
    return state


def _mixed(column: bytes) -> bytes:
    every = column[0] ^ column[1] ^ column[2] ^ column[3]
    return bytes(column[at] ^ every ^ _double(column[at] ^ column[(at + 1) % 4]) for at in range(4))
