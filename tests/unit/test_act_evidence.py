"""What `stoker act` says of a reading: what is known, in a line."""

from __future__ import annotations

from typing import Any

from agent.cli.act import _evidence

BARE: dict[str, Any] = {
    "state": "ok",
    "hashrate_ths": None,
    "power_w": 300.0,
    "power_source": "reported",
    "power_limit_w": 350.0,
    "mode": None,
    "pools": None,
}


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert _evidence(None) == "nothing was seen of it yet"
    assert _evidence(BARE) == "ok, 300 W (reported), limit 350 W"


def test_a_gpu_shows_its_settings() -> None:
    gpu = {
        "sm_clock_mhz": 1,
        "persistence": True,
        "ecc_enabled": False,
        "ecc_pending": None,
        "throttle_reasons": ["idle", "sw_power_cap"],
        "mig_layout": [],
    }
    assert _evidence({**BARE, "gpu": gpu}).endswith(
        "sm clock mhz 1, persistence on, ecc enabled off, throttle reasons idle sw_power_cap"
    )
