"""What Bitmain's web pages say beyond `stats`: mode, faults, light, serials, pools. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.asic.antminer.boards import listed_boards
from drivers.asic.fields import Row, common, first, integer, positive, text, truth
from drivers.model import Fault, Pool
from drivers.wire.cgminer import rows

MODE_KEYS = ("bitmain-work-mode", "miner-mode")
"""Which of the two is there depends on the build; both come as number or word."""
LEVEL_KEYS = ("bitmain-freq-level", "freq-level")


class Aside(msgspec.Struct, frozen=True):
    """What only the web pages say, read now and then."""

    mode: int | None = None
    level: int | None = None
    """The frequency level in per cent."""
    faults: tuple[Fault, ...] = ()
    locating: bool | None = None
    serials: dict[int, str] = {}
    """Of the boards, by number."""
    watts: float | None = None
    """Only of the moment that the pages were read at."""


NOTHING_ASIDE = Aside()


def parse_aside(pages: dict[str, Any], before: Aside = NOTHING_ASIDE) -> Aside:
    """Read `get_miner_conf`, `summary`, `get_blink_status` and `stats`, whichever there are.

    Of the others everything stays as it was before.
    """
    mode, level = before.mode, before.level
    if "get_miner_conf" in pages:
        config = _object(pages["get_miner_conf"])
        mode, level = integer(first(config, MODE_KEYS)), integer(first(config, LEVEL_KEYS))
    stats = _object(pages.get("stats"))
    light = _object(pages.get("get_blink_status", {"blink": before.locating}))
    return Aside(
        mode=mode,
        level=level,
        faults=page_faults(pages["summary"]) if "summary" in pages else before.faults,
        locating=truth(light.get("blink")),
        serials=_serials(stats) or before.serials,
        watts=positive((rows(stats, "STATS") or [{}])[0].get("watt")),
    )


def page_faults(page: Any) -> tuple[Fault, ...]:
    """What `summary.cgi` finds wrong: entries of `status` that are neither good nor empty."""
    row = (rows(_object(page), "SUMMARY") or [{}])[0]
    found = [fault for entry in rows(row, "status")[:32] if (fault := _fault_of(entry))]
    if truth(row.get("safe_mode")):
        found.append(Fault(None, "the firmware runs in safe mode"))
    return tuple(found)


def _fault_of(entry: Row) -> Fault | None:
    status = text(entry.get("status"))
    # A water-cooled S23 leaves the state of its fans empty.
    if status is None or status.lower() == "s":
        return None
    grade = {"e": "error", "w": "warning"}.get(status.lower(), status)
    code = text(entry.get("code"))
    words = text(entry.get("msg")) or grade
    return Fault(code if code != "0" else None, f"{text(entry.get('type')) or 'miner'}: {words}")


def _serials(page: dict[str, Any]) -> dict[int, str]:
    boards = listed_boards((rows(page, "STATS") or [{}])[0], None, 1.0)
    return {board.index: board.serial for board in boards if board.serial}


def pool_of_page(row: Row) -> Pool:
    """A row of `pools.cgi`; it does not say which pool is in use."""
    return Pool(
        url=common(row.get("url")),
        user=text(row.get("user")),
        status=common(row.get("status")),
        accepted=integer(row.get("accepted")),
        rejected=integer(row.get("rejected")),
        stale=integer(row.get("stale")),
    )


def _object(page: Any) -> dict[str, Any]:
    return page if isinstance(page, dict) else {}
