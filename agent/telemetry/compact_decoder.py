"""Compact frames back into readings, as their JSON would show them. Pure.

What arrives may be anything: sizes are bounded before they are believed, and whatever is
not a frame is one error, `BadFrame`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from agent.telemetry.chain import Chain, Row
from agent.telemetry.frame_check import checked

CHAINS_KEPT = 8
SOURCES_KEPT = 256

Source = tuple[str, str, str]
Place = tuple[int, int, int]
"""Thinning and first seq of a chain, and the frame that it needs next."""


class ChainDecoder:
    """Decodes the frames of any number of nodes, each chain in its order.

    A frame that does not follow the last one of its chain gives what can be known without it:
    rows of devices whose key row it holds. The others are left out and counted, until the next
    chain. Of each stream the last chains are kept, since live frames and history run side by
    side; a chain that is sent again from its first frame on is decoded again.
    """

    def __init__(self) -> None:
        self.unknown = 0
        """Rows that were left out."""
        self._sources: OrderedDict[Source, OrderedDict[Place, Chain]] = OrderedDict()

    def decode(self, payload: bytes) -> list[Row]:
        """The readings of a frame, as `msgspec.json` would decode their JSON; BadFrame if none."""
        frame = checked(payload)
        chains = self._source((frame.node, frame.boot, frame.strm))
        chain = chains.pop((frame.thin, frame.chain, frame.no), None) or Chain()
        steps = (chain.take(step) for step in chain.steps(frame))
        rows = [chain.row(known) for known in steps if known is not None]
        self.unknown += len(frame.dev) - len(rows)
        if rows or chain.devices:
            chains[frame.thin, frame.chain, frame.no + 1] = chain
            _trim(chains, CHAINS_KEPT)
        return rows

    def _source(self, source: Source) -> OrderedDict[Place, Chain]:
        chains = self._sources.setdefault(source, OrderedDict())
        self._sources.move_to_end(source)
        _trim(self._sources, SOURCES_KEPT)
        return chains


def _trim(kept: OrderedDict[Any, Any], limit: int) -> None:
    while len(kept) > limit:
        kept.popitem(last=False)
