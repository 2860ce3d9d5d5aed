"""Entries of the journal as journalctl writes them, and which of them are new."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from agent.fleet.kernel_lines import (
    MISSED_ID,
    KernelLine,
    Place,
    Resumption,
    Splitter,
    arguments,
    parse,
)

BOOT = "d6597c01dce34b2fae270e71ac368ce6"
DAY_US = 86_400 * 1_000_000
texts = st.text(st.characters(codec="utf-8"), max_size=200)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


def entry(message: Any, monotonic_us: int = 5 * DAY_US, **fields: Any) -> bytes:
    found = {
        "__CURSOR": f"s=1;i={monotonic_us:x}",
        "__REALTIME_TIMESTAMP": str(1_795_562_000_000_000 + monotonic_us),
        "__MONOTONIC_TIMESTAMP": str(monotonic_us),
        "_BOOT_ID": BOOT,
        "MESSAGE": message,
        **fields,
    }
    return json.dumps(found).encode()


@given(texts)
def test_text_comes_out_as_it_went_in(text):
    assert parse(entry(text)).text == text


@given(st.binary(max_size=100))
def test_bytes_that_are_no_text_are_read_as_far_as_they_are(raw):
    assert parse(entry(list(raw))).text == raw.decode("utf-8", "replace")


@given(st.dictionaries(st.sampled_from([
    "__CURSOR", "__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP", "_BOOT_ID", "MESSAGE",
    "MESSAGE_ID", "SYSLOG_IDENTIFIER", "_SOURCE_MONOTONIC_TIMESTAMP",
]), anything))  # fmt: skip
def test_any_object_is_a_line_or_is_refused(fields):
    found = {**json.loads(entry("x")), **fields}
    _line_or_refusal(json.dumps(found).encode())


@given(st.binary(max_size=300))
@example(b"[" * 100_000)
@example(b'{"__CURSOR":"\xff"}')
def test_any_bytes_are_a_line_or_are_refused(raw):
    _line_or_refusal(raw)


def _line_or_refusal(raw: bytes) -> None:
    try:
        line = parse(raw)
    except ValueError:
        return
    assert isinstance(line.text, str)
    assert isinstance(line.at, float)


def test_a_line_of_a_program_keeps_its_name():
    assert parse(entry("Xid", SYSLOG_IDENTIFIER="NVRM")).text == "NVRM: Xid"
    assert parse(entry("usb 1-1", SYSLOG_IDENTIFIER="kernel")).text == "usb 1-1"


def test_what_journald_missed_is_no_line_of_the_kernel():
    missed = parse(entry("Missed 7", MESSAGE_ID=MISSED_ID, SYSLOG_IDENTIFIER="systemd-journald"))
    assert (missed.is_gap, missed.text) == (True, "Missed 7")
    assert not parse(entry("x")).is_gap


def test_a_line_that_waited_for_journald_has_the_kernels_time():
    booted_s = 1_795_562_000.0
    waited = parse(entry("x", 30_000_000, _SOURCE_MONOTONIC_TIMESTAMP="2000000"))
    assert waited.at == booted_s + 2.0
    # later both clocks are hardly apart, and the kernel's is the one that goes wrong
    later = parse(entry("x", DAY_US, _SOURCE_MONOTONIC_TIMESTAMP=str(DAY_US - 9_000_000)))
    assert later.at == booted_s + 86_400.0
    ahead = parse(entry("x", 1_000_000, _SOURCE_MONOTONIC_TIMESTAMP="1500000"))
    assert ahead.at == booted_s + 1.0


# --- cutting ---------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_do_not_depend_on_how_they_arrive(lines, data):
    stream, splitter, found = b"".join(line + b"\n" for line in lines), Splitter(20), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert found == [line for line in lines if 0 < len(line) <= 20]
    assert splitter.left_out == sum(len(line) > 20 for line in lines)


# --- what is new -----------------------------------------------------------------------------

moments = st.lists(st.integers(0, 50), min_size=1, max_size=20).map(sorted)


def numbered(times_us: list[int], boot: str = BOOT, files: str = "a") -> list[KernelLine]:
    return [
        KernelLine(f"{boot} {number}", 0.0, Place(f"{files}{boot}{number}", boot, time_us))
        for number, time_us in enumerate(times_us)
    ]


@given(moments, st.data())
def test_behind_a_cursor_every_line_is_new_and_no_other(times_us, data):
    lines = numbered(times_us)
    last = data.draw(st.integers(0, len(lines) - 1))
    resumption = Resumption(lines[last].place)
    assert [line for line in lines[last:] if resumption.is_new(line)] == lines[last + 1 :]


@given(st.sets(st.integers(0, 50), min_size=1).map(sorted), st.data())
def test_the_same_where_other_files_give_other_cursors(times_us, data):
    lines = numbered(times_us)
    last = data.draw(st.integers(0, len(lines) - 1))
    resumption = Resumption(lines[last].place)
    moved = numbered(times_us, files="b")
    assert [line for line in moved if resumption.is_new(line)] == moved[last + 1 :]


@given(moments, moments)
def test_another_boot_is_new_whatever_its_clock_says(before_us, after_us):
    last = numbered(before_us)[-1]
    resumption = Resumption(last.place)
    after = numbered(after_us, boot="another")
    assert all(map(resumption.is_new, [*after]))


@given(moments)
def test_without_a_place_all_are_new(times_us):
    assert all(map(Resumption(None).is_new, numbered(times_us)))


def test_what_journalctl_is_asked():
    begins, goes_on = arguments(None, "m"), arguments(Place("c=1", BOOT, 1), "m")
    assert "--boot" in begins
    assert "--boot" not in goes_on
    assert {"--merge", "--cursor=c=1"} <= set(goes_on)
    for asked in (begins, goes_on):
        alternatives = " ".join(asked).split(" + ")
        assert len(alternatives) == 2
        assert all("_MACHINE_ID=m" in each for each in alternatives)
    assert not any("_MACHINE_ID" in word for word in arguments(None, None))
