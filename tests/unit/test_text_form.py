"""The text form of the classic API, read where a clone answers in it."""

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.asic.cgminer import parse
from drivers.errors import BadReply, Unsupported
from drivers.model import MinerReading, State
from drivers.sim.protocol import Section, encode_joined_text, encode_text
from drivers.wire import text_form
from drivers.wire.cgminer import Report, checked, decode

SUMMARY = (
    b"STATUS=S,When=1368,Code=11,Msg=Summary,Description=cgminer 2.10.5|"
    b"SUMMARY,Elapsed=58219,MHS av=70827.84,MHS 5s=70000,Accepted=14755,Rejected=162|\0"
)
POOLS = (
    b"STATUS=S,When=1,Code=7,Msg=2 Pool(s)|POOL=0,URL=stratum+tcp://a.example.com:3333,"
    b"Status=Alive,User=me\\,you\\=x\\|y,Stratum Active=true|,POOL=1,URL=http://b,Status=Dead|"
)


def test_a_summary() -> None:
    reply = checked(decode(SUMMARY).reply)
    assert reply["SUMMARY"][0]["MHS av"] == "70827.84"
    reading = parse(Report({"summary": reply}), "asic-x", 1.0).reading
    assert isinstance(reading, MinerReading)
    assert (reading.hashrate_ths, reading.hashrate_avg_ths) == (0.07, 0.07082784)
    assert (reading.uptime_s, reading.shares_accepted, reading.state) == (
        58219,
        14755,
        State.MINING,
    )


def test_pools_with_escaped_words() -> None:
    reply = decode(POOLS).reply
    assert [pool["URL"] for pool in reply["POOLS"]] == [
        "stratum+tcp://a.example.com:3333",
        "http://b",
    ]
    assert reply["POOLS"][0]["User"] == "me,you=x|y"
    reading = parse(Report({"pools": reply}), "asic-x", 1.0).reading
    assert isinstance(reading, MinerReading)
    assert [pool.active for pool in reading.pools] == [True, None]


def test_the_head_of_stats_is_a_row() -> None:
    raw = b"STATUS=S,When=1,Code=70,Msg=stats|CGMiner=4,Type=Antminer L3+|STATS=0,ID=L30,temp1=4|"
    assert [row.get("Type") for row in decode(raw).reply["STATS"]] == ["Antminer L3+", None]


def test_a_refusal_is_one() -> None:
    with pytest.raises(Unsupported):
        checked(decode(b"STATUS=E,When=1,Code=14,Msg=Invalid command|").reply)


def test_joined_answers() -> None:
    section = Section({"STATUS": "S", "Code": 11}, "SUMMARY", ({"Elapsed": 5, "a|b": "c,d=e\\"},))
    reply = decode(encode_joined_text({"summary": section, "pools": section})).reply
    assert list(reply) == ["summary", "pools"]
    assert reply["summary"][0]["SUMMARY"][0]["Elapsed"] == "5"
    assert decode(encode_text(section)).reply["SUMMARY"][0]["Elapsed"] == "5"


@pytest.mark.parametrize("raw", ["STATUS", "CMD=a|", "SUMMARY,Elapsed=5|", "CMD=a|b=c|"])
def test_what_has_no_status(raw: str) -> None:
    found: Any = None
    try:
        found = text_form.read(raw)
    except BadReply:
        return
    assert found == {"a": [{}]}


@given(st.text(max_size=200))
def test_no_text_makes_it_fail(words: str) -> None:
    with contextlib.suppress(BadReply):
        text_form.read("STATUS=S|" + words)


@pytest.mark.parametrize("filling", ["\\" * 120_000, "=" * 120_000, "a" * 120_000, "|," * 9_000])
def test_it_is_linear(filling: str) -> None:
    began = time.process_time()
    with contextlib.suppress(BadReply):
        text_form.read("STATUS=S|" + filling)
    assert time.process_time() - began < 0.5
