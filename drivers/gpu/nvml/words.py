"""Numbers of NVML in words. Pure."""

from __future__ import annotations

import re

ARCHITECTURES = {
    2: "kepler",
    3: "maxwell",
    4: "pascal",
    5: "volta",
    6: "turing",
    7: "ampere",
    8: "ada",
    9: "hopper",
    10: "blackwell",
    13: "rubin",
}
COMPUTE_MODES = {0: "default", 1: "exclusive_thread", 2: "prohibited", 3: "exclusive_process"}
FABRIC_STATES = {0: "not_supported", 1: "not_started", 2: "in_progress", 3: "completed"}
FABRIC_HEALTH = {0: "not_supported", 1: "healthy", 2: "unhealthy", 3: "limited_capacity"}
RECOVERY_ACTIONS = {
    0: "none",
    1: "reset",
    2: "node_reboot",
    3: "drain_p2p",
    4: "drain_and_reset",
    5: "recover_imex_domain",
    6: "bus_reset",
    7: "system_reboot",
}
VIRTUALIZATION = {0: "none", 1: "passthrough", 2: "vgpu", 3: "host_vgpu", 4: "host_vsga"}
LINK_PEERS = {0: "gpu", 1: "ibm_npu", 2: "switch"}
_REASONS = {
    0x1: "idle",
    0x2: "clocks_setting",
    0x4: "power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "power_brake",
    0x100: "display_clocks",
    0x200: "board_limit",
    0x400: "reliability",
}


def word(number: int, words: dict[int, str]) -> str:
    """The word of a number, or the number itself where it is newer than this table."""
    return words.get(number, str(number))


def throttle_reasons(bits: int) -> tuple[str, ...]:
    """The reasons in a bit mask, unknown bits as numbers."""
    return tuple(
        _REASONS.get(1 << bit, f"bit_{bit}") for bit in range(bits.bit_length()) if bits >> bit & 1
    )


_PROFILE = re.compile(r"\d+[cg]\.[\w.+-]+")


def profile_name(name: str) -> str:
    """The profile in what NVML calls it: `MIG 1g.10gb` is `1g.10gb`."""
    found = _PROFILE.search(name)
    return found.group() if found else name


def cuda_version(number: int) -> str:
    """13020 is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"
