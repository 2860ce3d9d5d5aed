"""What holds of anything at all that was decoded."""

import math
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.asic import cgminer
from drivers.asic.antminer import driver as antminer
from drivers.errors import BadReply
from drivers.wire.cgminer import Report

NOW = 1_790_000_000.25

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, 10**30, -(10**30), 10**400, 1e308, -1e308, math.nan, math.inf, -0.0]),
    st.floats(),
    st.text(st.characters(exclude_categories=()), max_size=8),
    st.sampled_from(
        ["9" * 40, "1e308", "nan", "0-0-0-0", "78-50-x", "-5", "Y", "S", "GH", "\ud800"]
    ),
    st.sampled_from(["Antminer S19 Pro", "02:b3:b9:8c:1e:c8", "1" * 5000, "Alive", "٣"]),
)
KEYS = (
    *("STATS", "POOLS", "SUMMARY", "DEVS", "VERSION", "Type", "CompileTime", "Miner", "miner_id"),
    *("GHS 5s", "MHS av", "PHS 5s", "THS av", "Elapsed", "rate_unit", "miner_mode", "fan_num"),
    *("fan1", "fan8", "chain_acn1", "chain_acn6", "chain_rate1", "temp_chip1", "temp2_1", "freq1"),
    *("temp_pcb1", "total_rateideal", "no_matching_work", "URL", "User", "Status", "Accepted"),
    *("Rejected", "Stale", "Stratum Active", "ASC", "PGA", "Name", "ID", "Temperature"),
    *("Fan Speed", "Hardware Errors", "MAC", "macaddr", "serinum", "minertype", "hostname"),
    *("system_filesystem_version", "BMMiner", "CGMiner", "PROD", "STATUS", "Frequency"),
)
things = st.recursive(
    anything,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=8)
    ),
    max_leaves=20,
)
table_rows = st.lists(st.dictionaries(st.sampled_from(KEYS), anything, max_size=25), max_size=3)
replies = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("STATS", "POOLS", "SUMMARY", "DEVS"), table_rows | things)
)
reports = st.builds(
    Report,
    st.dictionaries(st.sampled_from(["stats", "pools", "summary", "devs"]), replies, max_size=4),
    st.dictionaries(st.sampled_from(["version"]), st.just(BadReply("x", b"\xff")), max_size=1),
    st.lists(st.sampled_from(["stats", "pools"]), max_size=1).map(tuple),
)


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [found for inner in value.values() for found in numbers(inner)]
    if isinstance(value, list | tuple):
        return [found for inner in value for found in numbers(inner)]
    return [value] if isinstance(value, int | float) else []


@given(reports)
@settings(max_examples=250)
@example(
    Report(
        {
            "stats": {"STATS": [{"Accepted": 1}]},
            "pools": {"POOLS": [{"URL": "a", "Accepted": 10**400}]},
        }
    )
)
@example(Report({"summary": {"SUMMARY": [{"PHS 5s": 1e308, "Accepted": 10**400}]}}))
def test_any_report_gives_a_reading_that_can_be_published(report: Report) -> None:
    for parse in (antminer.parse, cgminer.parse):
        sample = parse(report, "asic-x", NOW)
        again = msgspec.json.decode(msgspec.json.encode(sample.reading), type=type(sample.reading))
        assert all(map(math.isfinite, numbers(msgspec.to_builtins(sample.reading))))
        assert all(map(math.isfinite, sample.fingerprint.counters))
        assert again.device_id == "asic-x"


@given(st.dictionaries(st.sampled_from(KEYS), table_rows | things, max_size=4), replies | things)
@settings(max_examples=150)
def test_any_identity_can_be_published(version: dict[str, Any], info: Any) -> None:
    info = info if isinstance(info, dict) else {"macaddr": info, "serinum": info}
    for identity in (
        cgminer.parse_identity(version, "asic-at-10.0.0.1"),
        antminer.parse_system_info(version, info, "asic-at-10.0.0.1"),
    ):
        msgspec.json.encode(identity)
        assert identity.id.startswith("asic-")
        assert not set(identity.id) & set("/+# \n")
