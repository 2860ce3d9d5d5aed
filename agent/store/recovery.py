"""What an earlier run left on disk, taken up at the start."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.store.contents import FOOT_BYTES, Contents, unpack_contents, unpack_foot
from agent.store.disk import MAKING_SUFFIX, NOTE_SUFFIX
from agent.store.ledger import Ended, Loss, Reason, Settled, unpack_settled
from agent.store.segment import (
    MAX_HEAD_BYTES,
    RECORD_BYTES,
    SUFFIX,
    Newer,
    Part,
    Record,
    Tier,
    Unreadable,
    name_parts,
    parts,
    unpack_head,
)
from agent.store.shelf import GIVEN_UP, Segment

log = logging.getLogger("stoker.store")


class Recovered(msgspec.Struct):
    """What was found: segments, what of them is lost, and how far each run had got."""

    segments: list[Segment] = []
    losses: list[Loss] = []
    ended: list[Ended] = []
    epoch: int = 0
    """The highest of all segments, 0 where there are none."""


class _Damage(msgspec.Struct):
    """What is wrong with a segment that was not closed."""

    end: int
    """Behind the last whole record."""
    missing: list[tuple[int, Record | None]] = []
    """Frames that are damaged, each with what its head says."""
    torn: Record | None = None
    """What the half-written record at the end says of itself, if it still does."""


def recover(directory: Path) -> Recovered:
    """Take up every segment of a directory; cuts half-written tails, deletes what was replaced.

    Raises:
        OSError: the directory cannot be used.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):
        directory.chmod(0o700)
    found = Recovered()
    ended: dict[tuple[int, str, str], Ended] = {}
    for segment_id in _names(directory):
        _take_up(directory, segment_id, found, ended)
    found.ended = [ended[key] for key in sorted(ended)]
    found.epoch = max((each.head.epoch for each in found.segments), default=0)
    return found


def _names(directory: Path) -> list[str]:
    """Ids of the segments there are, when what is left over has been deleted."""
    ids: set[str] = set()
    for name in os.listdir(directory):
        stem, dot, suffix = name.rpartition(".")
        if name_parts(stem) is None:
            continue
        if dot + suffix == SUFFIX:
            ids.add(stem)
        elif dot + suffix == MAKING_SUFFIX:
            _delete(directory / name)
    for stale in _replaced(ids):
        _delete(directory / (stale + SUFFIX))
        ids.discard(stale)
    for note in directory.glob("*" + NOTE_SUFFIX):
        if note.stem not in ids and name_parts(note.stem) is not None:
            _delete(note)
    return sorted(ids)


def _replaced(ids: set[str]) -> set[str]:
    """Segments whose thinned replacement is there."""
    best: dict[tuple[str, int, int], tuple[int, str]] = {}
    for segment_id in ids:
        stream, tier, epoch, seq = name_parts(segment_id) or ("", Tier.RAW, 0, 0)
        rank = (GIVEN_UP.index(tier), segment_id)
        best[stream, epoch, seq] = min(best.get((stream, epoch, seq), rank), rank)
    return ids - {segment_id for _, segment_id in best.values()}


def _take_up(
    directory: Path,
    segment_id: str,
    found: Recovered,
    ended: dict[tuple[int, str, str], Ended],
) -> None:
    path = directory / (segment_id + SUFFIX)
    try:
        taken = _open(path, segment_id)
    except Newer as error:
        log.warning("%s left alone, it seems to be of a newer version: %s", path, error)
        return
    except Unreadable as error:
        found.losses.extend(_lost_with(path, segment_id, error))
        return
    except OSError as error:
        log.warning("%s left alone: %s", path, error)
        return
    segment, damage, torn_bytes = taken
    found.losses.extend(_losses(segment, damage))
    _note_end(segment, torn_bytes, ended)
    if segment.frames == 0:
        _delete(path)
        _delete(path.with_suffix(NOTE_SUFFIX))
        return
    found.segments.append(segment)


def _open(path: Path, segment_id: str) -> tuple[Segment, _Damage | None, int]:
    """A segment, what is wrong with it, and how many bytes of a half-written tail were cut."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags)
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a plain file")
        head, begin = unpack_head(file.read(MAX_HEAD_BYTES + 16))
        if head.name != segment_id:
            raise OSError(f"it says that it is {head.name}")
        contents = _contents(fd, status.st_size, begin)
        damage = None
        if contents is None:
            file.seek(begin)
            contents, damage = _scan(file.read(), begin, head.seq)
    segment = Segment(head, contents, _settled(path, len(contents)))
    segment.closed = True
    segment.sealed = damage is None
    segment.file_bytes = status.st_size if damage is None else damage.end
    with suppress(OSError):
        segment.note_bytes = path.with_suffix(NOTE_SUFFIX).stat().st_size
    torn_bytes = status.st_size - segment.file_bytes
    if torn_bytes:
        with suppress(OSError):  # on a disk that cannot be written it stays, and is found again
            os.truncate(path, segment.file_bytes)
    return segment, damage, torn_bytes


def _contents(fd: int, size: int, begin: int) -> Contents | None:
    """The contents of a segment that was closed and is as long as they say; else None."""
    foot = os.pread(fd, FOOT_BYTES, max(size - FOOT_BYTES, 0))
    if not unpack_foot(foot, size):
        return None
    frames = unpack_foot(foot, size)
    packed = Contents.bytes_for(frames)
    contents = unpack_contents(os.pread(fd, packed, size - packed))
    if contents is None or begin + sum(contents.sizes) + packed > size:
        return None
    return contents


def _scan(data: bytes, begin: int, seq: int) -> tuple[Contents, _Damage]:
    """The contents of a segment that was not closed, found by its records."""
    contents = Contents()
    damage = _Damage(begin)
    bad: Part | None = None
    for part in parts(data):
        record = part.record
        room = 0 if bad is None else (part.offset - bad.offset) // RECORD_BYTES
        if record is None or not 0 <= record.index - len(contents) <= room:
            bad = part if bad is None else bad
            continue
        for index in range(len(contents), record.index):
            damage.missing.append((index, _head_of(bad, index)))
            contents.add_missing(seq, record.seq - 1)
        contents.add(record, begin + part.offset, part.size)
        damage.end = begin + part.offset + part.size
        bad = None
    damage.torn = bad.head if bad is not None else None
    return contents, damage


def _head_of(part: Part | None, index: int) -> Record | None:
    if part is None or part.head is None or part.head.index != index:
        return None
    return part.head


def _settled(path: Path, frames: int) -> Settled:
    try:
        return unpack_settled(path.with_suffix(NOTE_SUFFIX).read_bytes(), frames)
    except OSError:
        return Settled()


def _losses(segment: Segment, damage: _Damage | None) -> list[Loss]:
    """What is lost of a segment, and settles it: nobody needs to ask for it any more."""
    if damage is None:
        return []
    losses = []
    for index, head in damage.missing:
        if index not in segment.settled:
            losses.append(_loss(segment, index, head, Reason.DAMAGED))
            segment.settle(index)
    losses = [loss for loss in losses if loss.lost]
    torn = damage.torn
    if torn is not None and torn.seq > segment.contents.last_seq:
        losses.append(_loss(segment, segment.frames, torn, Reason.TORN))
    return losses


def _loss(segment: Segment, index: int, head: Record | None, reason: Reason) -> Loss:
    contents = segment.contents
    if head is not None:
        numbers = (head.seq, head.last_seq, head.count, head.first_at, head.last_at)
    else:
        # The record that follows says where the gap ends.
        first, last = contents.number_before(index) + 1, contents.last_seqs[index]
        numbers = (first, last, last - first + 1, contents.first_at, contents.last_at)
    return Loss(segment.head.stream, segment.head.boot_id, *numbers, reason)


def _note_end(segment: Segment, torn_bytes: int, ended: dict[tuple[int, str, str], Ended]) -> None:
    head = segment.head
    key = (head.epoch, head.stream, head.boot_id)
    before = ended.get(key, Ended(head.stream, head.boot_id, head.epoch, 0, 0))
    ended[key] = msgspec.structs.replace(
        before,
        last_seq=max(before.last_seq, segment.contents.last_seq),
        torn_bytes=before.torn_bytes + torn_bytes,
    )


def _lost_with(path: Path, segment_id: str, error: Unreadable) -> list[Loss]:
    """What is lost with a segment whose head is damaged: nobody can say whose readings it holds."""
    stream, *_ = name_parts(segment_id) or ("", None)
    with suppress(OSError):
        data = path.read_bytes()
        _delete(path)
        _delete(path.with_suffix(NOTE_SUFFIX))
        records = [part.record or part.head for part in parts(data)]
        heads = [record for record in records if record is not None]
        log.warning("%s deleted, %d frames of it are lost: %s", path, len(heads), error)
        if heads:
            first_at = min(head.first_at for head in heads)
            last_at = max(head.last_at for head in heads)
            lost = sum(head.count for head in heads)
            span = (heads[0].seq, heads[-1].last_seq, lost, first_at, last_at)
            return [Loss(stream, "", *span, Reason.DAMAGED)]
    return []


def _delete(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
