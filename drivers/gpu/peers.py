"""Who is at the other end of a Unix socket, by the kernel's word, and whether that is allowed."""

from __future__ import annotations

import grp
import pwd
import socket
import struct
from collections.abc import Collection

_CREDENTIALS = struct.Struct("3i")
ROOT = 0


class Peers:
    """Root, certain users, and the members of certain groups."""

    def __init__(self, uids: Collection[int], gids: Collection[int]) -> None:
        self._uids = frozenset(uids) | {ROOT}
        self._gids = frozenset(gids)

    def may(self, uid: int, gid: int) -> bool:
        """Whether this user with this primary group may speak to us."""
        return uid in self._uids or gid in self._gids or self._is_member(uid)

    def _is_member(self, uid: int) -> bool:
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            return False
        return any(name in _members(gid) for gid in self._gids)


def credentials(sock: socket.socket) -> tuple[int, int, int]:
    """Process, user and primary group at the other end."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return pid, uid, gid


def _members(gid: int) -> list[str]:
    try:
        return grp.getgrgid(gid).gr_mem
    except KeyError:
        return []
