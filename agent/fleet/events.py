"""What happens in a fleet, as facts that are published and logged."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. `name` is `area.what`; `details` hold plain values."""

    name: str
    at: datetime
    message: str
    """A sentence for people."""
    device_id: str | None = None
    address: str | None = None
    details: dict[str, Any] = {}
    """For programs; which there are hangs on the name."""
