"""Logging: structured fields to the journal under systemd, one logfmt line each otherwise."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

JOURNAL_SOCKET = "/run/systemd/journal/socket"

_SEND_WAIT_S = 0.05  # a burst may fill the queue for a moment; the event loop can not wait long
_LONGEST_BYTES = 48 * 1024  # larger datagrams fail with EMSGSIZE; nobody reads on that far
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7
_FIELD_NAMES = {"device": "DEVICE_ID"}
_FIELD = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_BARE = re.compile(r"[A-Za-z0-9_.:/@+,-]+")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_RESERVED = frozenset({"MESSAGE", "PRIORITY", "LOGGER", "CODE_FILE", "CODE_LINE", "CODE_FUNC"})


def set_up(level: str) -> None:
    """Send the root logger's records of `level` and above to the journal, or to stderr."""
    handler: logging.Handler
    if writes_to_journal(sys.stderr):
        handler = JournalHandler()
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    set_level(level)


def set_level(level: str) -> None:
    """Change the level alone, as after a reload."""
    logging.getLogger().setLevel(level.upper())


def writes_to_journal(stream: Any) -> bool:
    """True where systemd has connected this stream to its journal."""
    # inherited by children with another stderr: only device and inode tell, systemd.exec(5)
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


class LineFormatter(logging.Formatter):
    """A record as one line: time, level, logger, message, fields.

    What a device said can not forge a line: newlines and control characters are escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = f"{at.removesuffix('+00:00')}Z {record.levelname.lower()} {record.name}"
        words = [head, _escaped(record.getMessage())]
        words += [f"{name}={_quoted(str(value))}" for name, value in _extra(record)]
        if trace := _trace(record):
            words.append(f"trace={_quoted(trace)}")
        return " ".join(words)


class JournalHandler(logging.Handler):
    """Records as journal entries over its native socket; never raises, counts what it loses."""

    def __init__(self, address: str = JOURNAL_SOCKET) -> None:
        super().__init__()
        self.lost = 0
        self._address = address
        self._socket: socket.socket | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, and before it the count of those that were lost."""
        try:
            entry = _entry(record)
        except Exception:  # a bad argument of the caller: logging reports these itself
            self.handleError(record)
            return
        if self.lost and self._send(_entry(_loss(self.lost))):
            self.lost = 0
        if not self._send(entry):
            self.lost += 1

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        super().close()

    def _send(self, entry: bytes) -> bool:
        try:
            sock = self._socket or self._open()
            # wait for a journal that has worked so far, not again and again for a dead one
            sock.settimeout(0 if self.lost else _SEND_WAIT_S)
            sock.sendto(entry, self._address)
        except OSError:
            return False
        return True

    def _open(self) -> socket.socket:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        return self._socket


def _entry(record: logging.LogRecord) -> bytes:
    message = record.getMessage()
    if trace := _trace(record):
        message = f"{message}\n{trace}"
    fields = [
        ("MESSAGE", message),
        ("PRIORITY", str(_priority(record.levelno))),
        ("SYSLOG_IDENTIFIER", "stoker"),
        ("LOGGER", record.name),
        ("CODE_FILE", record.pathname),
        ("CODE_LINE", str(record.lineno)),
        ("CODE_FUNC", record.funcName or ""),
    ]
    fields += [(name, str(value)) for name, value in _journal_extra(record)]
    return b"".join(_field(name, value) for name, value in fields)


def _field(name: str, value: str) -> bytes:
    # systemd.io/JOURNAL_NATIVE_PROTOCOL: a value with a newline goes with its length in front
    raw = value.encode(errors="replace")[:_LONGEST_BYTES]
    if b"\n" in raw:
        return name.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n"
    return name.encode() + b"=" + raw + b"\n"


def _journal_extra(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    for name, value in _extra(record):
        field = _FIELD_NAMES.get(name, name.upper())
        if _FIELD.fullmatch(field) and field not in _RESERVED:
            yield field, value


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """What the caller gave as `extra`; None is not shown."""
    for name, value in vars(record).items():
        if name not in _STANDARD and value is not None:
            yield name, value


def _trace(record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[0] is not None:
        return logging.Formatter().formatException(record.exc_info)
    return record.exc_text or ""


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG)


def _loss(count: int) -> logging.LogRecord:
    words = "%d log entries before this one were lost: the journal did not take them"
    record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, words, (count,), None)
    record.lost = count
    return record


def _escaped(text: str) -> str:
    return text if text.isprintable() else _json(text)[1:-1]


def _quoted(text: str) -> str:
    return text if _BARE.fullmatch(text) else _json(text)


def _json(text: str) -> str:
    # escapes newlines, and everything but ASCII where a terminal could take harm
    return json.dumps(text, ensure_ascii=not text.isprintable())
