"""The proxy itself: a harness that does not do what it says proves nothing."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.broker import free_port
from tests.fault.proxy import BAD_UPLINK, Proxy, Shape


class Echo:
    """A server that sends back what it gets, in a thread."""

    def __init__(self) -> None:
        self.got = 0
        self.endings: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                while data := sock.recv(1 << 16):
                    self.got += len(data)
                    sock.sendall(data)
                self.endings.append("fin")
            except ConnectionResetError:
                self.endings.append("rst")
            except OSError:
                self.endings.append("gone")


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as started:
        yield started


def reach(proxy: Proxy, timeout_s: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout_s)


def receive(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        assert more, "closed"
        data += more
    return data


def ask(sock: socket.socket, data: bytes = b"ping") -> float:
    """Seconds until the answer is there."""
    began = time.monotonic()
    sock.sendall(data)
    assert receive(sock, len(data)) == data
    return time.monotonic() - began


def eventually(condition, timeout_s: float = 5.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def send_all(sock: socket.socket, data: bytes) -> threading.Thread:
    thread = threading.Thread(target=sock.sendall, args=(data,), daemon=True)
    thread.start()
    return thread


def test_a_clear_link_passes_everything_on_in_order(proxy: Proxy) -> None:
    data = random.Random(1).randbytes(1 << 20)
    with reach(proxy) as sock:
        send_all(sock, data)
        assert receive(sock, len(data)) == data
    eventually(lambda: proxy.open == 0)
    assert proxy.passed == {"up": len(data), "down": len(data)}


@pytest.mark.parametrize("rate_bit_s", [1e6, 5e6])
def test_the_rate_is_kept_within_ten_percent(proxy: Proxy, echo: Echo, rate_bit_s: float) -> None:
    proxy.shape = Shape(rate_bit_s=rate_bit_s)
    count = int(rate_bit_s / 8 * 0.3)
    took_s = []
    while not took_s or (min(took_s) > 0.33 and len(took_s) < 5):  # others may need the machine
        with reach(proxy) as sock:
            begun_at, before = time.monotonic(), echo.got
            sock.sendall(bytes(count))
            eventually(lambda before=before: echo.got == before + count)
            took_s.append(time.monotonic() - begun_at)
    assert min(took_s) == pytest.approx(0.3, rel=0.1)


def test_latency_is_that_of_each_way(proxy: Proxy) -> None:
    with reach(proxy) as sock:
        assert ask(sock) < 0.1
        proxy.shape = Shape(latency_s=0.1)
        assert 0.2 <= ask(sock) < 0.3
        proxy.shape = Shape()
        assert ask(sock) < 0.1


def test_a_lost_segment_holds_up_what_is_behind_it(proxy: Proxy) -> None:
    with reach(proxy) as sock:
        proxy.shape = Shape(loss=1.0, timeout_s=(0.2, 0.2))
        assert 0.4 <= ask(sock) < 0.6
        proxy.shape = Shape(loss=1.0, timeout_s=(0.2, 0.2))
        sock.sendall(b"late")
        eventually(lambda: proxy.open == 1)
        time.sleep(0.05)  # the first is on its way, and lost
        proxy.shape = Shape()
        began = time.monotonic()
        sock.sendall(b"next")
        assert receive(sock, 8) == b"latenext"
        assert time.monotonic() - began > 0.1


def test_two_percent_are_lost_of_many(echo: Echo) -> None:
    with Proxy(echo.port, shape=Shape(loss=0.02, timeout_s=(0.01, 0.01))) as proxy:
        data = random.Random(1).randbytes(1 << 20)
        with reach(proxy) as sock:
            send_all(sock, data)
            assert receive(sock, len(data)) == data


def test_the_queue_is_bounded_and_holds_the_sender_back(proxy: Proxy, echo: Echo) -> None:
    proxy.shape = Shape(rate_bit_s=8e4, queue_bytes=16 * 1024)
    with reach(proxy, 0.3) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += sock.send(bytes(1 << 12))
        assert sent < 512 * 1024
        assert echo.got < 16 * 1024


def test_a_drip_comes_in_drops(proxy: Proxy) -> None:
    proxy.shape = Shape(drip_bytes=2, drip_s=0.02)
    with reach(proxy) as sock:
        assert ask(sock, b"0123456789") > 0.08
        sock.sendall(b"0123456789")
        assert len(sock.recv(10)) <= 4


def test_a_cut_resets_both_ends(proxy: Proxy, echo: Echo) -> None:
    with reach(proxy) as sock:
        ask(sock)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    eventually(lambda: echo.endings == ["rst"])
    with reach(proxy) as sock:
        ask(sock)


def test_an_orderly_end_is_one_at_both_ends(proxy: Proxy, echo: Echo) -> None:
    with reach(proxy) as sock:
        ask(sock)
        proxy.cut(reset=False)
        assert sock.recv(1) == b""
    eventually(lambda: echo.endings == ["fin"])


def test_half_open_is_really_silent(proxy: Proxy, echo: Echo) -> None:
    with reach(proxy, 0.2) as before:
        ask(before)
        proxy.half_open()
        with reach(proxy, 0.2) as after:
            for sock in (before, after):
                sock.sendall(b"anybody?")
                with pytest.raises(TimeoutError):
                    sock.recv(1)
            assert echo.got == 4
            assert echo.endings == []
            proxy.heal()
            with reach(proxy) as healed:
                ask(healed)
            before.sendall(b"anybody?")  # what was swallowed is gone: it stays mute
            with pytest.raises(TimeoutError):
                before.recv(1)
    time.sleep(0.05)
    assert echo.endings == ["fin"]  # of the healed one: nobody told the server of the others
    assert proxy.open == 2
    proxy.cut()
    eventually(lambda: proxy.open == 0)


def test_a_broken_link_refuses_until_it_is_healed(proxy: Proxy) -> None:
    with reach(proxy) as sock:
        ask(sock)
        proxy.break_link()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    with pytest.raises(ConnectionResetError), reach(proxy) as sock:
        ask(sock)
    proxy.heal()
    with reach(proxy) as sock:
        ask(sock)


def test_nobody_behind_it_is_a_reset() -> None:
    with Proxy(free_port()) as proxy:
        with pytest.raises(ConnectionResetError), reach(proxy) as sock:
            sock.recv(1)
        eventually(lambda: proxy.open == 0)


def test_the_bad_uplink_is_slow_and_whole(echo: Echo) -> None:
    with Proxy(echo.port, shape=BAD_UPLINK) as proxy, reach(proxy) as sock:
        data = random.Random(2).randbytes(200_000)
        began = time.monotonic()
        send_all(sock, data)
        assert receive(sock, len(data)) == data
        assert time.monotonic() - began > 0.2 + 200_000 * 8 / 5e6
