"""The file format of the spool: what is whole is found, what is not is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.store.contents import Contents, unpack_contents, unpack_foot
from agent.store.segment import (
    RECORD_BYTES,
    Newer,
    Record,
    SegmentHead,
    Tier,
    Unreadable,
    name_parts,
    pack_head,
    pack_record,
    parts,
    unpack_head,
)

HEAD = SegmentHead("telemetry", Tier.RAW, "b1", 7, 1)

payloads = st.lists(st.binary(max_size=40), min_size=1, max_size=8)


def records(bodies: list[bytes]) -> list[Record]:
    return [
        Record(at, 10 * at + 1, 10 * at + 10, 10, 100.0 + at, 101.0 + at, body)
        for at, body in enumerate(bodies)
    ]


def packed(bodies: list[bytes]) -> bytes:
    return b"".join(map(pack_record, records(bodies)))


def whole(data: bytes) -> list[Record]:
    return [part.record for part in parts(data) if part.record is not None]


def test_names_sort_in_order_of_time():
    heads = [SegmentHead("event", Tier.RAW, "b", e, s) for e, s in ((1, 2), (1, 10), (2, 1))]
    names = [head.name for head in heads]
    assert names == sorted(names)
    assert [name_parts(name) for name in names][1] == ("event", Tier.RAW, 1, 10)


@pytest.mark.parametrize(
    "name", ["", "telemetry", "telemetry.raw.1.1", "x.y.0000000001.000000000001", "../etc/passwd"]
)
def test_other_names_are_not_ours(name):
    assert name_parts(name) is None


def test_a_head_survives():
    data = pack_head(HEAD)
    assert unpack_head(data + b"and more") == (HEAD, len(data))


@given(st.data())
def test_a_damaged_head_is_refused(data):
    good = bytearray(pack_head(HEAD))
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Unreadable):
        unpack_head(bytes(good))


def test_a_newer_version_is_known_as_such():
    with pytest.raises(Newer):
        unpack_head(b"STOKSEG2" + pack_head(HEAD)[8:])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_head_or_refused(data):
    with pytest.raises(Unreadable):
        unpack_head(data)


@given(payloads)
def test_records_come_back(bodies):
    assert whole(packed(bodies)) == records(bodies)


@given(payloads, st.data())
def test_what_lies_before_a_cut_is_whole(bodies, data):
    full = packed(bodies)
    cut = data.draw(st.integers(0, len(full)))
    found = list(parts(full[:cut]))
    ends = [sum(RECORD_BYTES + len(body) for body in bodies[: at + 1]) for at in range(len(bodies))]
    before = sum(end <= cut for end in ends)
    assert [part.record for part in found if part.record] == records(bodies)[:before]
    assert sum(part.size for part in found) == cut


def test_a_cut_payload_still_has_its_numbers():
    part = list(parts(packed([b"abc", b"defghi"])[:-1]))[-1]
    assert part.record is None
    assert part.head is not None
    assert (part.head.seq, part.head.last_seq, part.head.count) == (11, 20, 10)


@given(payloads, st.data())
def test_one_spoilt_byte_costs_one_record(bodies, data):
    full = bytearray(packed(bodies))
    full[data.draw(st.integers(0, len(full) - 1))] ^= data.draw(st.integers(1, 255))
    found = whole(bytes(full))
    assert len(found) == len(bodies) - 1
    assert all(record in records(bodies) for record in found)


@given(payloads, st.binary(max_size=200), st.data())
def test_rubbish_between_records_hides_none(bodies, rubbish, data):
    pieces = [pack_record(record) for record in records(bodies)]
    pieces.insert(data.draw(st.integers(0, len(pieces))), rubbish)
    assert whole(b"".join(pieces)) == records(bodies)


@given(st.binary(max_size=2000))
def test_any_bytes_end(data):
    assert sum(part.size for part in parts(data)) == len(data)


@given(payloads)
def test_contents_come_back(bodies):
    contents = Contents()
    for record in records(bodies):
        contents.add(record, 50 + record.index, record.size)
    data = contents.pack()
    assert len(data) == contents.packed_bytes == Contents.bytes_for(len(bodies))
    assert unpack_foot(data[-48:], len(data)) == len(bodies)
    again = unpack_contents(data)
    assert again is not None
    assert again.pack() == data
    assert (again.first_seq, again.last_seq) == (1, 10 * len(bodies))
    assert (again.first_at, again.last_at) == (100.0, 100.0 + len(bodies))


@given(payloads, st.data())
def test_damaged_contents_are_none(bodies, data):
    contents = Contents()
    for record in records(bodies):
        contents.add(record, 50, record.size)
    spoilt = bytearray(contents.pack())
    spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= data.draw(st.integers(1, 255))
    frames = unpack_foot(bytes(spoilt[-48:]), len(spoilt))
    assert frames != len(bodies) or unpack_contents(bytes(spoilt)) is None
