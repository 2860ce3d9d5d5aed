"""What the `details` of all events have in common."""

from __future__ import annotations

import msgspec


class Details(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Nothing more."""
