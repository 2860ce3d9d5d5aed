"""Where a state may be sent beside its own topic: the response topic of MQTT 5. Pure.

The property stands outside of the signature: whoever holds the broker can set it. So it must not
make this node, which the broker trusts, say something where consumers look for readings.
"""

from __future__ import annotations

from agent.mqtt.topics import PREFIX

LONGEST = 256


def reply_topic(asked: str | None, root: str) -> str | None:
    """The topic, where it is one that may be answered to; `root` is the site's prefix."""
    if not asked or len(asked.encode()) > LONGEST or not asked.isprintable():
        return None
    if asked.startswith("$") or set(asked) & {"+", "#"}:
        return None
    ours = asked.split("/")[0] == PREFIX.split("/")[0]
    return None if ours and not asked.startswith(f"{root}/reply/") else asked
