"""The password hash `$1$` of crypt(3), which a Whatsminer's tokens of API 2 are made with. Pure.

Written from Poul-Henning Kamp's description of it (phk.freebsd.dk/sagas/md5crypt, 1994); checked
against `openssl passwd -1`. It protects nothing here: the firmware computes the same.
"""

from __future__ import annotations

from hashlib import md5

SALT_CHARS = 8
ROUNDS = 1000
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))
"""Which bytes of the digest make four characters each; the 12th byte makes the last two."""


def md5crypt(password: str, salt: str) -> str:
    """The hash alone, 22 characters: what stands behind the third `$`."""
    secret, grains = password.encode(), salt.encode()[:SALT_CHARS]
    return _written(_stretched(secret, grains, _first(secret, grains)))


def _first(secret: bytes, grains: bytes) -> bytes:
    inner = _md5(secret + grains + secret)
    mixed = secret + b"$1$" + grains
    mixed += (inner * (len(secret) // len(inner) + 1))[: len(secret)]
    left = len(secret)
    while left:  # a quirk that every implementation keeps: NUL or the first letter, bit by bit
        mixed += b"\0" if left & 1 else secret[:1]
        left >>= 1
    return _md5(mixed)


def _stretched(secret: bytes, grains: bytes, digest: bytes) -> bytes:
    for at in range(ROUNDS):
        odd = at & 1
        middle = (grains if at % 3 else b"") + (secret if at % 7 else b"")
        digest = _md5((secret if odd else digest) + middle + (digest if odd else secret))
    return digest


def _written(digest: bytes) -> str:
    words = [_letters(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _ORDER]
    return "".join(words) + _letters(digest[11], 2)


def _letters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * at & 63] for at in range(count))


def _md5(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()
