"""HTTP digest authentication (RFC 2617, MD5, qop auth) on the server's side."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from urllib.request import parse_http_list, parse_keqv_list

NONCE_LIFE_S = 600.0


class DigestGate:
    """Hands out nonces and judges what comes back; needs no memory of them."""

    def __init__(self, secret: bytes, clock: Callable[[], float]) -> None:
        self._secret = secret
        self._clock = clock

    def challenge(self, realm: str, *, stale: bool = False) -> str:
        """The value of `WWW-Authenticate`."""
        suffix = ", stale=true" if stale else ""
        nonce = self._nonce(f"{int(self._clock()):x}")
        return f'Digest realm="{realm}", nonce="{nonce}", qop="auth"{suffix}'

    def judge(
        self, header: str, method: str, target: str, credential: tuple[str, str], realm: str
    ) -> str | None:
        """None where the request may pass, else the challenge to answer it with."""
        scheme, _, rest = header.partition(" ")
        if scheme.lower() != "digest":
            return self.challenge(realm)
        try:
            given = parse_keqv_list(parse_http_list(rest))
        except (ValueError, IndexError):
            return self.challenge(realm)
        if not _is_right(given, method, target, credential, realm):
            return self.challenge(realm)
        return None if self._is_fresh(given["nonce"]) else self.challenge(realm, stale=True)

    def _nonce(self, moment: str) -> str:
        tag = hmac.new(self._secret, moment.encode(), hashlib.sha256).hexdigest()
        return f"{moment}:{tag[:32]}"

    def _is_fresh(self, nonce: str) -> bool:
        moment = nonce.partition(":")[0]
        if not hmac.compare_digest(nonce.encode(), self._nonce(moment).encode()):
            return False
        return 0 <= self._clock() - int(moment, 16) + 1 <= NONCE_LIFE_S


def _is_right(
    given: dict[str, str], method: str, target: str, credential: tuple[str, str], realm: str
) -> bool:
    user, password = credential
    if given.get("username") != user or given.get("uri") != target or "nonce" not in given:
        return False
    first = _md5(f"{user}:{realm}:{password}")
    second = _md5(f"{method}:{target}")
    middle = [given["nonce"]]
    if given.get("qop") == "auth":
        middle += [given.get("nc", ""), given.get("cnonce", ""), "auth"]
    expected = _md5(":".join([first, *middle, second]))
    return hmac.compare_digest(expected.encode(), given.get("response", "").encode())


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
