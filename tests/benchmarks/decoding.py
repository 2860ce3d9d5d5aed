"""From an answer's bytes to the published JSON: decode, parse, encode."""

from __future__ import annotations

import time

from agent.telemetry.lean import lean_json
from drivers.asic.antminer import driver as antminer
from drivers.sim import Site
from drivers.sim.server import respond_live
from drivers.wire.cgminer import Report, decode, request
from drivers.wire.repair import read_lenient
from tests.benchmarks.meter import cpu_us_per_call


def run() -> None:
    """Print what each step costs."""
    machine = next(
        machine
        for machine in Site(1, "127.10.0.0/16", 200).machines()
        if machine.model.name == "Antminer S19 Pro"
    )
    now = time.time()
    stats = _answer(machine, "stats", now)
    pools = _answer(machine, "pools", now)
    text = stats.decode()
    glued = stats.replace(b"},{", b"}{")
    report = Report({"stats": decode(stats).reply, "pools": decode(pools).reply})
    reading = antminer.parse(report, "asic-02:00:00:00:00:01", now).reading
    strict_us = cpu_us_per_call(lambda: decode(stats))
    print(f"decode stats, strict      {strict_us:7.1f} us  ({len(stats)} bytes)")
    for name, us in {
        "decode stats, mended": cpu_us_per_call(lambda: decode(glued), 300),
        "decode stats, lenient": cpu_us_per_call(lambda: read_lenient(text), 100),
        "parse stats and pools": cpu_us_per_call(
            lambda: antminer.parse(report, "asic-02:00:00:00:00:01", now)
        ),
        "encode the reading": cpu_us_per_call(lambda: lean_json(reading)),
    }.items():
        print(f"{name:25} {us:7.1f} us  ({us / strict_us:.1f} x strict decoding)")


def _answer(machine: object, command: str, now: float) -> bytes:
    reply = respond_live(machine, request(command), now)  # type: ignore[arg-type]
    return bytes(reply.body).rstrip(b"\0")
