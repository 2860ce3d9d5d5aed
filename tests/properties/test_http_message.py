"""An HTTP answer is the same however it is cut into pieces, and bytes are never more than wrong."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import BadReply, Unreachable
from drivers.wire.http_message import Incoming, request_bytes

LIMIT = 10_000
BODIES = st.binary(max_size=300)
CUTS = st.lists(st.integers(0, 600), max_size=8)


def chunked(body: bytes, sizes: list[int]) -> bytes:
    out = b""
    for size in sizes:
        piece, body = body[:size], body[size:]
        if piece:
            out += b"%x;ext=1\r\n%b\r\n" % (len(piece), piece)
    if body:
        out += b"%X\r\n%b\r\n" % (len(body), body)
    return out + b"0\r\n\r\n"


def read(raw: bytes, cuts: list[int], *, ends: bool) -> Incoming:
    incoming, done = Incoming("http://x/", LIMIT), False
    places = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    for start, stop in pairwise(places):
        done = done or incoming.feed(raw[start:stop])
    assert done is not ends
    if ends:
        incoming.end()
    return incoming


@given(BODIES, CUTS, st.sampled_from([b"\r\n", b"\n"]))
def test_a_length_frames_the_body(body, cuts, line) -> None:
    head = line.join([b"HTTP/1.1 200 OK", b"X-A: 1", b"x-a: 2", b"Content-Length: %d" % len(body)])
    reply = read(head + line * 2 + body, cuts, ends=False).reply
    assert (reply.status, reply.body, reply.headers["x-a"]) == (200, body, "1\n2")


@given(BODIES, CUTS, st.lists(st.integers(1, 90), max_size=5))
def test_chunks_frame_the_body(body, cuts, sizes) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert read(head + chunked(body, sizes), cuts, ends=False).reply.body == body


@given(BODIES, CUTS)
def test_the_end_of_the_connection_frames_the_body(body, cuts) -> None:
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404\r\n\r\n"
    reply = read(head + body, cuts, ends=True).reply
    assert (reply.status, reply.body) == (404, body)


@given(st.one_of(st.binary(max_size=400), BODIES.map(lambda body: b"HTTP/1.1 200 OK\r\n" + body)))
def test_bytes_are_an_answer_or_wrong(raw) -> None:
    incoming = Incoming("http://x/", 100)
    with suppress(BadReply, Unreachable):
        if not incoming.feed(raw):
            incoming.end()
        assert len(incoming.reply.body) <= 100


@given(st.integers(101, 10**17))
def test_what_is_said_to_be_too_long_is_not_waited_for(length) -> None:
    incoming = Incoming("http://x/", 100)
    with pytest.raises(BadReply, match="over 100 bytes"):
        incoming.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nx" % length)


@pytest.mark.parametrize("header", ["a\r\nb: c", "a\nb", "a\rb", "a\x0bb", "a\u2028b"])
def test_nothing_smuggles_a_header(header: str) -> None:
    for case in ({"X-A": header}, {header: "x"}):
        with pytest.raises(ValueError, match="line break"):
            request_bytes("GET", "/", "h", case, None)
    with pytest.raises(ValueError, match="line break"):
        request_bytes("GET", f"/{header}", "h", {}, None)


def test_a_request() -> None:
    raw = request_bytes("POST", "/a?b=1", "h:80", {"content-type": "text/plain"}, b"xy")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /a?b=1 HTTP/1.1"
    assert b"Host: h:80" in head
    assert head.lower().count(b"content-type") == 1
    assert b"Content-Length: 2" in head
    assert body == b"xy"
    assert b"Content-Length: 0" in request_bytes("PUT", "/", "h", {}, None)
    assert b"Content-Length" not in request_bytes("GET", "/", "h", {}, None)
