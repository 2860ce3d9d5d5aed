# ruff: noqa: ANN001, ANN201, ANN204, B905, D101, D102, D103, UP017
"""Reads the payloads of `batch/<node>/live` and `batch/<node>/hist` (see encodings.md).

For whoever writes the other side: it needs only `msgpack` and `zstandard`, and trusts what it
reads. One `Decoder` for all payloads: `for reading in decoder.readings(payload): ...`
"""

import json
from datetime import datetime, timedelta, timezone
from itertools import accumulate

import msgpack
import zstandard

EPOCH, LIMIT = datetime(1970, 1, 1, tzinfo=timezone.utc), 16 * 1024 * 1024


class Decoder:
    def __init__(self):
        self.chains = {}  # what is known of a chain, under the frame that it needs next

    def readings(self, payload):
        """The readings of one payload, whichever of the two batch encodings it is in."""
        content = zstandard.ZstdDecompressor().decompress(payload, max_output_size=LIMIT)
        if content.startswith(b"{"):
            return [json.loads(line) for line in content.splitlines()]
        return self.frame(msgpack.unpackb(content, strict_map_key=False))

    def frame(self, frame):
        """The readings of a compact frame that can be known."""
        name = (frame["node"], frame["boot"], frame["strm"], frame.get("thin", 0), frame["chain"])
        chain = self.chains.pop((*name, frame["no"]), None) or Chain()
        self.chains[(*name, frame["no"] + 1)] = chain
        while len(self.chains) > 64:  # the oldest goes
            del self.chains[next(iter(self.chains))]
        return chain.readings(frame)


class Chain:
    def __init__(self):
        self.ids, self.shapes, self.columns = {}, {}, {}
        self.known = {}  # of each device number: its shape, and the values by column

    def readings(self, frame):
        for ours, name in ((self.ids, "ids"), (self.shapes, "shapes"), (self.columns, "cols")):
            first, new = frame.get(name, (0, []))
            ours.update(enumerate(new, first))
        devices, ticks = list(accumulate(frame["dev"])), list(accumulate(frame["at"]))
        seqs = list(accumulate(frame.get("gaps") or [1] * (len(devices) - 1), initial=frame["seq"]))
        keys = dict(zip(accumulate(frame.get("keys", [])), frame.get("kinds", [])))
        cells = cells_by_row(frame, len(devices))
        head = {"node": frame["node"], "boot_id": frame["boot"], "stream": frame["strm"]}
        readings = []
        for row, (seq, device, tick) in enumerate(zip(seqs, devices, ticks)):
            if row in keys:
                self.known[device] = (keys[row], {})
            if device not in self.known:
                continue
            shape, values = self.known[device]
            for code, cell in cells[row]:
                values[code // 32] = value(code % 32, cell, values.get(code // 32), tick, frame)
            if device not in self.ids or shape not in self.shapes or values.keys() - self.columns:
                del self.known[device]
                continue
            reading = self.reading(self.shapes[shape], values, tick * frame["tick"])
            readings.append({**head, "seq": seq, **reading, "device_id": self.ids[device]})
        return readings

    def reading(self, shape, values, at_us):
        lists = {field[0]: field[1:] for field in shape if isinstance(field, list)}
        fields = {(f[0] if isinstance(f, list) else f): None for f in shape}
        fields.update({name: [] for name in lists})
        for column in sorted(values):  # a list's own column has a lower number than its parts'
            name, *part = self.columns[column].split(".")
            shown = show(values[column], at_us)
            if part and int(part[0]) < len(fields[name]):
                fields[name][int(part[0])][part[1]] = shown
            elif not part and lists.get(name):
                fields[name] = [dict.fromkeys(lists[name][0]) for _ in range(shown)]
            elif not part:
                fields[name] = shown
        fields["taken_at"] = fields["taken_at"] or show(("moment", at_us), at_us)
        return fields


def cells_by_row(frame, rows):
    cells, begin = [[] for _ in range(rows)], 0
    for code, many in zip(accumulate(frame["code"]), frame["many"]):
        end = begin + many
        for row, cell in zip(accumulate(frame["row"][begin:end]), frame["val"][begin:end]):
            cells[row].append((code, cell))
        begin = end
    return cells


def value(form, cell, old, tick, frame):
    """A value from its form, what is written, and the value before."""
    if form == 0:
        return cell
    if 1 <= form <= 3:  # integers, in ones, tens, hundreds
        unit = 10 ** (form - 1)
        return ((old // unit if type(old) is int else 0) + int(cell)) * unit
    if form in (4, 5):  # a start in seconds; a moment in ticks
        name, unit, other = (("start", 1, 0), ("moment", frame["tick"], tick))[form - 4]
        base = old[1] // unit if type(old) is tuple and old[0] == name else other
        return name, (base + cell) * unit
    digits = form - 10
    usable = type(old) in (int, float) and -(2.0**53) <= old <= 2.0**53
    number = float(old) if usable else 0.0
    base = round(number * 10.0**digits if digits >= 0 else number / 10.0**-digits)
    return (base + cell) / 10**digits if digits >= 0 else float((base + cell) * 10**-digits)


def show(value, at_us):
    if type(value) is not tuple:
        return value
    if value[0] == "start":
        return round(at_us / 1_000_000 - value[1], 3)
    return (EPOCH + timedelta(microseconds=value[1])).isoformat().replace("+00:00", "Z")
