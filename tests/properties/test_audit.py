"""The audit's chain: whatever is done to a log is found, and named."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.store.audit_chain import Entry, Head, file_name, pack, pack_first, unpack
from agent.store.audit_verify import Fault, Verdict, verify

Files = dict[str, bytes]

content = st.dictionaries(
    st.text(max_size=8), st.one_of(st.none(), st.integers(-(2**53), 2**53), st.text(max_size=20))
)
entries = st.builds(
    Entry,
    at=st.just("2026-11-24T22:00:01.250Z"),
    who=st.sampled_from(["local:ana", "key:ops-1", "stoker"]),
    what=st.text(min_size=1, max_size=10),
    content=content.map(lambda made: json.dumps(made).encode()),
)


class Log:
    """A log in memory, and the head after each of its records."""

    def __init__(self, made: list[Entry], per_file: int) -> None:
        self.per_file = per_file
        self.lines: list[bytes] = []
        self.heads = [Head()]
        for at, entry in enumerate(made):
            line, head = (pack if at % per_file else pack_first)(entry, self.heads[-1])
            self.lines.append(line)
            self.heads.append(head)

    @property
    def last(self) -> int:
        return len(self.lines)

    def files(self, lines: list[bytes] | None = None) -> Files:
        """The log in files, or the same files with other lines."""
        lines = self.lines if lines is None else lines
        return {
            file_name(at + 1): b"".join(lines[at : at + self.per_file])
            for at in range(0, max(len(lines), 1), self.per_file)
        }

    def mutated(self, change: Callable[[list[bytes]], None], at: int) -> Files:
        """The files after a change of lines within the file that line `at` stands in."""
        start = at - at % self.per_file
        mine = self.lines[start : start + self.per_file]
        change(mine)
        return {**self.files(), file_name(start + 1): b"".join(mine)}


logs = st.builds(Log, st.lists(entries, min_size=1, max_size=14), st.integers(1, 6))


def judged(files: Files, against: Head | None = None) -> Verdict:
    return verify(((name, io.BytesIO(data)) for name, data in sorted(files.items())), against)


def found(files: Files, against: Head | None = None) -> tuple[Fault | None, int]:
    finding = judged(files, against).finding
    return (None, 0) if finding is None else (finding.fault, finding.seq)


def rank(draw: st.DataObject, log: Log) -> int:
    return draw.draw(st.integers(0, log.last - 1))


@given(logs, st.data())
def test_a_log_that_nobody_touched_is_intact(log, draw):
    verdict = judged(log.files(), log.heads[draw.draw(st.integers(0, log.last))])
    assert verdict == Verdict(first=1, head=log.heads[-1])


@given(logs, st.data())
def test_files_that_were_archived_leave_the_rest_verifiable(log, draw):
    gone = draw.draw(st.integers(0, len(log.files()) - 1))
    left = dict(sorted(log.files().items())[gone:])
    first = gone * log.per_file + 1
    held = draw.draw(st.integers(first - 1, log.last))
    verdict = judged(left, log.heads[held])
    assert verdict == Verdict(first=first, head=log.heads[-1])
    if held > 0:
        other = Head(held, "ab" * 32)
        assert found(left, other)[0] is Fault.REWRITTEN
    for early in log.heads[: max(0, first - 1)]:
        assert found(left, early)[0] is Fault.MISSING


@settings(max_examples=200)
@given(logs, st.data())
def test_a_byte_that_was_flipped_is_found_where_it_is(log, draw):
    at = rank(draw, log)
    offset = draw.draw(st.integers(0, len(log.lines[at]) - 1))
    byte = draw.draw(st.integers(0, 255))
    assume(byte != log.lines[at][offset])

    def flip(lines: list[bytes]) -> None:
        line = bytearray(lines[at % log.per_file])
        line[offset] = byte
        lines[at % log.per_file] = bytes(line)

    verdict = judged(log.mutated(flip, at))
    if at == log.last - 1 and (offset == len(log.lines[at]) - 1):
        assert verdict.torn is not None  # the last newline: as a crash leaves it
        assert verdict.intact
        assert verdict.head == log.heads[-2]
        return
    assert verdict.finding is not None
    assert (verdict.finding.fault, verdict.finding.seq) == (Fault.ALTERED, at + 1)
    assert verdict.finding.file == sorted(log.files())[at // log.per_file]
    assert verdict.finding.line == at % log.per_file + 1
    assert verdict.head == log.heads[at]


@given(logs, st.integers(1, 30), st.data())
def test_a_number_that_was_changed_is_an_alteration(log, number, draw):
    """Though it looks as if records were missing, or stood twice."""
    at = rank(draw, log)
    assume(number != at + 1)
    head, changed = f'{{"seq":{at + 1},'.encode(), f'{{"seq":{number},'.encode()

    def renumber(lines: list[bytes]) -> None:
        lines[at % log.per_file] = lines[at % log.per_file].replace(head, changed)

    assert found(log.mutated(renumber, at)) == (Fault.ALTERED, at + 1)


@given(logs, st.data())
def test_a_record_that_was_dropped_is_missed(log, draw):
    at = rank(draw, log)
    files = log.mutated(lambda lines: lines.pop(at % log.per_file), at)
    if at == log.last - 1:  # nobody can see that, save who holds a head
        assert found(files) == (None, 0)
        assert found(files, log.heads[-1]) == (Fault.CUT, log.last)
    else:
        assert found(files) == (Fault.MISSING, at + 1)


@given(logs, st.data())
def test_a_record_that_stands_twice_is_found(log, draw):
    source, at = rank(draw, log), rank(draw, log)
    files = log.mutated(lambda lines: lines.insert(at % log.per_file + 1, log.lines[source]), at)
    fault, seq = found(files)
    if source == at + 1:  # put before itself: it is the second one that is too many
        assert (fault, seq) == (Fault.INSERTED, at + 3)
    else:
        assert (fault, seq) == (Fault.INSERTED, at + 2)


@given(logs, st.data())
def test_records_that_changed_places_are_found(log, draw):
    assume(log.last > 1)
    one, other = sorted(
        draw.draw(st.lists(st.integers(0, log.last - 1), min_size=2, max_size=2, unique=True))
    )
    lines = list(log.lines)
    lines[one], lines[other] = lines[other], lines[one]
    assert found(log.files(lines)) == (Fault.REORDERED, one + 1)


@given(logs, st.data())
def test_a_record_that_was_moved_to_the_end_is_found(log, draw):
    at = rank(draw, log)
    assume(at < log.last - 1)
    lines = list(log.lines)
    lines.append(lines.pop(at))
    assert found(log.files(lines)) == (Fault.REORDERED, at + 1)


@given(logs, st.binary(max_size=200), st.data())
def test_a_line_that_is_no_record_is_found(log, line, draw):
    at = rank(draw, log)
    assume(b"\n" not in line)
    files = log.mutated(lambda lines: lines.insert(at % log.per_file, line + b"\n"), at)
    assert found(files) == (Fault.FOREIGN, at + 1)


@given(logs, entries, st.data())
def test_a_forged_record_is_found(log, entry, draw):
    """Also one that is chained as it should be: then two follow the same one."""
    at = rank(draw, log)
    assume(at % log.per_file)  # in the midst of a file
    forged, _ = pack(entry, log.heads[at])
    assume(forged != log.lines[at])
    files = log.mutated(lambda lines: lines.insert(at % log.per_file, forged), at)
    assert found(files) == (Fault.INSERTED, at + 2)
    badly, _ = pack(entry, Head(at, "ab" * 32))
    files = log.mutated(lambda lines: lines.insert(at % log.per_file, badly), at)
    assert found(files) == (Fault.INSERTED, at + 1)


@given(logs, entries, st.data())
def test_a_history_that_was_written_anew_is_found_by_who_holds_a_head(log, entry, draw):
    at = rank(draw, log)
    assume(entry != Entry("", "", "", b""))
    made = [Entry(r.at, r.who, r.what, bytes(r.content)) for r in map(record, log.lines)]
    assume(made[at] != entry)
    forged = Log([*made[:at], entry, *made[at + 1 :]], log.per_file)
    assert found(forged.files()) == (None, 0)
    for held in range(log.last + 1):
        expected = (None, 0) if held <= at else (Fault.REWRITTEN, held)
        assert found(forged.files(), log.heads[held]) == expected


def record(line: bytes):
    made = unpack(line.removesuffix(b"\n"))
    assert made is not None
    return made


@settings(max_examples=25)
@given(logs)
def test_a_torn_last_record_is_no_tampering(log):
    """Cut at every offset, with and without the zeros that some file systems leave."""
    whole, (name, data) = log.files(), sorted(log.files().items())[-1]
    last = log.lines[-1]
    for kept in range(len(last)):
        for zeros in (b"", b"\0" * 700):
            piece = last[:kept] + zeros
            files = {**whole, name: data[: len(data) - len(last)] + piece}
            verdict = judged(files, log.heads[-2])
            assert verdict.intact
            assert verdict.head == log.heads[-2]
            assert (verdict.torn is None) == (not piece)
            if verdict.torn is not None:
                assert (verdict.torn.file, verdict.torn.bytes) == (name, len(piece))
            assert found(files, log.heads[-1]) == (Fault.CUT, log.last)


@given(logs, st.data())
def test_what_was_cut_off_the_end_is_missed_by_who_holds_a_head(log, draw):
    kept = rank(draw, log)
    files = log.files(log.lines[:kept])
    assert judged(files).intact
    assert judged(files).head == log.heads[kept]
    for held in range(log.last + 1):
        expected = (None, 0) if held <= kept else (Fault.CUT, kept + 1)
        assert found(files, log.heads[held]) == expected


@given(logs, st.data())
def test_the_end_of_an_earlier_file_is_not_torn(log, draw):
    names = sorted(log.files())
    assume(len(names) > 1)
    name = draw.draw(st.sampled_from(names[:-1]))
    data = log.files()[name]
    kept = draw.draw(st.integers(0, len(data) - 1))
    assume(kept == 0 or data[kept - 1] != ord("\n"))
    fault, _ = found({**log.files(), name: data[:kept]})
    assert fault is (Fault.ALTERED if kept else Fault.MISSING)


@given(logs)
def test_a_file_by_another_name_is_found(log):
    (name, data), *rest = sorted(log.files().items(), reverse=True)
    renamed = name.replace("audit-0", "audit-9")
    fault, seq = found({**dict(rest), renamed: data})
    assert fault is Fault.FOREIGN
    if rest:
        assert seq == log.last - (log.last - 1) % log.per_file


@given(st.binary(max_size=2000))
def test_anything_at_all_gets_a_verdict(data):
    verdict = judged({file_name(1): data})
    assert verdict.intact == (b"\n" not in data)
    assert verdict.head == Head()


@given(st.text(max_size=90))
def test_only_a_head_is_a_head(text):
    try:
        head = Head.parse(text)
    except ValueError:
        return
    assert str(head).lower() == f"{head.seq}:{text.strip().lower().partition(':')[2]}"


@given(st.integers(0, 10**17), st.binary(min_size=32, max_size=32))
def test_a_head_is_read_as_it_is_written(seq, digest):
    assert Head.parse(str(Head(seq, digest.hex()))) == Head(seq, digest.hex())
