"""What can go wrong with a device, one class per cause."""

from __future__ import annotations

from typing import ClassVar

EXCERPT_BYTES = 120


class DriverError(Exception):
    """Root of everything a driver raises.

    `transient` is retry policy as data: true where the same request may succeed
    later without anybody changing anything.
    """

    transient: ClassVar[bool] = False
    sent: bool = False
    """True on an error that was raised after a whole request had left: it may have been obeyed."""


class Unreachable(DriverError):
    """No connection, or it broke before a whole answer had arrived."""

    transient = True


class DeviceTimeout(DriverError, TimeoutError):
    """The deadline passed before the device had answered."""

    transient = True


class NoResources(DriverError):
    """This host ran out of descriptors, ports or memory; it says nothing about the device."""

    transient = True


class BadReply(DriverError):
    """The device answered something that its protocol does not allow.

    The message ends with an excerpt of the answer, escaped and cut.
    """

    transient = True

    def __init__(self, problem: str, raw: bytes = b"") -> None:
        excerpt = ascii(raw[:EXCERPT_BYTES].decode("latin-1")) if raw else ""
        super().__init__(f"{problem}: {excerpt}" if excerpt else problem)


class WrongProtocol(BadReply):
    """Something else lives at this port, for example an HTTP server on 4028."""

    transient = False


class Refused(DriverError):
    """The device understood and said no."""

    def __init__(self, code: int | None, message: str) -> None:
        super().__init__(f"code {code}: {message}" if code is not None else message)
        self.code = code
        self.message = message


class AccessDenied(Refused):
    """The device said no for want of rights or of the right password."""


class Unsupported(Refused):
    """The device does not know the command."""


class OutOfRange(Refused):
    """The machine's own limits do not allow the value; nothing was sent to it."""

    def __init__(self, wanted: str, allowed: str) -> None:
        super().__init__(None, f"{wanted} is not possible: this machine takes {allowed}")


class DriverFault(DriverError):
    """The driver itself failed in a way that nobody foresaw."""


class IdentityMismatch(DriverError):
    """Another device than the expected one answers at this address."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found
