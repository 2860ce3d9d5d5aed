"""Reaches the broker without ever blocking the event loop.

paho's own connect() resolves, connects and shakes hands in blocking calls; here it is handed
a socket that is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading

from agent.mqtt.failure import Cause, LinkLost

Address = tuple[int, tuple[str, int]]
"""Family and socket address."""


async def dial(host: str, port: int, tls: ssl.SSLContext | None, timeout_s: float) -> socket.socket:
    """A connected, non-blocking socket with TLS done and verified; raises `LinkLost`."""
    try:
        async with asyncio.timeout(timeout_s):
            sock = await _connect(host, port, timeout_s)
            return sock if tls is None else await _secure(sock, host, tls)
    except TimeoutError as error:
        raise LinkLost(Cause.TIMEOUT, f"no connection within {timeout_s:g} s") from error
    except ssl.SSLEOFError as error:  # a broker that is just going down, or no broker
        raise LinkLost(Cause.UNREACHABLE, "closed during the TLS handshake") from error
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        raise LinkLost(Cause.TLS, f"TLS: {reason}") from error
    except OSError as error:
        raise LinkLost(Cause.UNREACHABLE, error.strerror or str(error)) from error
    except ValueError as error:  # a name that cannot stand in a certificate
        raise LinkLost(Cause.TLS, str(error)) from error


async def _connect(host: str, port: int, timeout_s: float) -> socket.socket:
    addresses = await _resolve(host, port)
    problem: OSError = OSError(f"{host} has no address")
    for family, address in addresses:
        try:
            # A share each: an address that swallows packets must not hide the next one.
            async with asyncio.timeout(timeout_s / len(addresses)):
                return await _connect_to(family, address)
        except OSError as error:  # TimeoutError is one
            problem = error
    raise problem


async def _connect_to(family: int, address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _resolve(host: str, port: int) -> list[Address]:
    """The host's addresses, from a thread that may hang: it never holds up a shutdown.

    The loop's own getaddrinfo() runs in the executor, which asyncio.run() waits for at its
    end, however long the name servers stay silent.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def tell(found: list[Address] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def ask() -> None:
        found = _lookup(host, port)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=ask, name="mqtt-resolve", daemon=True).start()
    return await answer


def _lookup(host: str, port: int) -> list[Address] | OSError:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError as error:  # a label of more than 63 characters
        return OSError(f"{host!r} is no host name: {error}")
    # Without flow info and scope: the loop takes (host, port) for either family.
    return [(int(family), (str(to[0]), int(to[1]))) for family, _, _, _, to in found]


async def _secure(sock: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The TLS handshake, which also checks the certificate against the host's name."""
    try:
        secured = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    try:
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                await _ready(secured.fileno(), write=False)
            except ssl.SSLWantWriteError:
                await _ready(secured.fileno(), write=True)
            else:
                return secured
    except BaseException:
        secured.close()
        raise


async def _ready(fileno: int, *, write: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    )
    add(fileno, _settle, ready)
    try:
        await ready
    finally:
        remove(fileno)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
